//! The texts of the page in all its languages.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The texts of one language by their keys.
pub(super) struct Texts {
    /// The language, as in `<html lang>`.
    pub language: &'static str,
    texts: HashMap<String, String>,
}

macro_rules! languages {
    ($($language:literal)*) => {
        [$(($language, include_str!(concat!("../../../addon/page/texts/", $language, ".json")))),*]
    };
}

/// All languages; English, in which all others are written down as well, comes first.
static LANGUAGES: LazyLock<Vec<Texts>> = LazyLock::new(|| {
    let files = languages! { "en" "de" "es" "fr" "it" "nl" "pl" };
    let texts = files.into_iter().map(|(language, json)| Texts {
        language,
        // A test reads them all.
        texts: serde_json::from_str(json).unwrap_or_default(),
    });
    texts.collect()
});

impl Texts {
    /// The language that suits best what `Accept-Language` asks for (RFC 9110, section 12.5.4);
    /// English, if none does.
    pub(super) fn accepted(header: Option<&str>) -> &'static Self {
        let mut wishes: Vec<(f32, &str)> = header
            .unwrap_or_default()
            .split(',')
            .filter_map(|wish| {
                let (tag, quality) = wish.split_once(";q=").unwrap_or((wish, "1"));
                let language = tag.trim().split('-').next()?;
                Some((quality.trim().parse().ok()?, language))
            })
            .collect();
        wishes.sort_by(|one, other| other.0.total_cmp(&one.0));
        let spoken = |language: &str| {
            LANGUAGES
                .iter()
                .find(|texts| texts.language.eq_ignore_ascii_case(language))
        };
        wishes
            .into_iter()
            .find_map(|(_, language)| spoken(language))
            .unwrap_or(&LANGUAGES[0])
    }

    /// The text under a key; the key itself if there is none.
    pub(super) fn get<'a>(&'a self, key: &'a str) -> &'a str {
        self.texts.get(key).map_or(key, String::as_str)
    }

    /// The text under a key, with `{name}` replaced by values.
    pub(super) fn with(&self, key: &str, values: &[(&str, &str)]) -> String {
        let mut text = self.get(key).to_owned();
        for (name, value) in values {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The `{names}` in a text.
    fn names(text: &str) -> BTreeSet<&str> {
        let parts = text.split('{').skip(1);
        parts.filter_map(|part| part.split('}').next()).collect()
    }

    #[test]
    fn every_language_has_every_text_with_the_same_names_in_it() {
        let english = &LANGUAGES[0].texts;
        assert!(english.len() > 100);
        for other in LANGUAGES.iter() {
            let keys = |texts: &HashMap<String, String>| -> BTreeSet<String> {
                texts.keys().cloned().collect()
            };
            let missing: Vec<_> = keys(english)
                .symmetric_difference(&keys(&other.texts))
                .cloned()
                .collect();
            assert!(missing.is_empty(), "{}: {missing:?}", other.language);
            for (key, text) in english {
                let translated = &other.texts[key];
                assert_eq!(names(text), names(translated), "{}: {key}", other.language);
                assert!(!translated.trim().is_empty(), "{}: {key}", other.language);
            }
        }
    }

    #[test]
    fn every_key_that_the_page_names_has_a_text_and_every_text_is_used() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/addon/page");
        let mut page = include_str!("page.rs").to_owned();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                page.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
        let english = &LANGUAGES[0].texts;
        for key in page
            .split("data-t=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            assert!(english.contains_key(key), "{key}");
        }
        for key in page
            .split(" t('")
            .skip(1)
            .filter_map(|rest| rest.split('\'').next())
        {
            assert!(english.contains_key(key), "{key}");
        }
        // Families of keys are put together from a code or a state.
        let families = [
            "advice.",
            "breaker.",
            "check.",
            "clients.",
            "code.",
            "connect.how_",
            "fix.",
            "mode.",
            "outcome.",
            "policy.",
            "presence.",
            "priority.",
            "rights.",
            "sensitive.",
            "settings.",
            "source.",
            "tools.",
            "verdict.",
            "way.",
        ];
        for key in english.keys() {
            let used = families.iter().any(|family| key.starts_with(family))
                || page.contains(&format!("'{key}'"))
                || page.contains(&format!("\"{key}\""));
            assert!(used, "{key}");
        }
    }

    #[test]
    fn the_language_is_the_one_that_is_asked_for_most() {
        for (header, language) in [
            (None, "en"),
            (Some("de-DE,de;q=0.9,en;q=0.8"), "de"),
            (Some("sv, fr;q=0.5, nl;q=0.7"), "nl"),
            (Some("en;q=0.1,PL;q=0.2"), "pl"),
            (Some("tlh"), "en"),
            (Some(";;q=x,,"), "en"),
        ] {
            assert_eq!(Texts::accepted(header).language, language, "{header:?}");
        }
    }
}
