//! What a person may have meant otherwise in the settings of Home Assistant: nothing is broken, but
//! clients get less, or more, than they might be expected to.

use serde::Serialize;

use super::options::Options;

/// One of these things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hint {
    /// Its name.
    pub code: &'static str,
    /// What it means and what can be done, in English.
    pub text: &'static str,
}

const NOT_ADMINISTRATOR: Hint = Hint {
    code: "not_administrator",
    text: "The token is no administrator's. The bridge cannot know which entities are exposed: it hears \
           of every state, offers no entities as resources, and an MCP server that requires an \
           administrator refuses it. Use a token of an administrator.",
};

const READ_ONLY: Hint = Hint {
    code: "read_only",
    text: "The integration Model Context Protocol Server is read-only: no client can switch anything. \
           If that is not meant, turn it off in the options of the integration.",
};

const TOOLS_FOR_ADMINISTRATORS: Hint = Hint {
    code: "tools_for_administrators",
    text: "The integration Model Context Protocol Server offers all sets of tools, those for \
           administrators among them, which can do anything in Home Assistant. If clients need no more \
           than a voice assistant, choose `home_assistant.api: assist`, or the sets in the options of \
           the integration.",
};

/// What there is to say. The options count where the MCP server is the one that the integration adds.
pub(super) fn hints(
    is_administrator: bool,
    has_tools_for_administrators: bool,
    options: Option<Options>,
) -> Vec<Hint> {
    let is_read_only = options.is_some_and(|options| options.read_only);
    let offers_all = options.is_some_and(|options| options.all_llm_apis);
    let all = [
        (!is_administrator, NOT_ADMINISTRATOR),
        (is_read_only, READ_ONLY),
        // Who may only look does no harm with them.
        (
            offers_all && has_tools_for_administrators && !is_read_only,
            TOOLS_FOR_ADMINISTRATORS,
        ),
    ];
    let holding = all.into_iter().filter(|(holds, _)| *holds);
    holding.map(|(_, hint)| hint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hint_is_given_where_it_holds() {
        let options = |read_only, all_llm_apis| {
            Some(Options {
                read_only,
                all_llm_apis,
            })
        };
        for (is_administrator, for_administrators, options, expected) in [
            (true, true, None, vec![]),
            (false, true, None, vec![NOT_ADMINISTRATOR]),
            (
                true,
                true,
                options(false, true),
                vec![TOOLS_FOR_ADMINISTRATORS],
            ),
            (true, false, options(false, true), vec![]),
            (true, true, options(false, false), vec![]),
            (true, true, options(true, true), vec![READ_ONLY]),
        ] {
            assert_eq!(
                hints(is_administrator, for_administrators, options),
                expected
            );
        }
    }
}
