//! How urgent a request is, and how HTTP says it (RFC 9218).

/// How urgent a call is. Ordered: what is smaller goes first.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Somebody waits for the answer.
    Interactive,
    /// The default.
    #[default]
    Normal,
    /// Whenever there is time.
    Background,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Normal, Self::Background];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Normal => "normal",
            Self::Background => "background",
        }
    }

    /// One step more urgent; nothing above the most urgent.
    pub const fn raised(self) -> Option<Self> {
        match self {
            Self::Interactive => None,
            Self::Normal => Some(Self::Interactive),
            Self::Background => Some(Self::Normal),
        }
    }

    /// What a `Priority` header asks for by its `u`, 0 (first) to 7 (last). The RFC has 3 for the
    /// default, and 7 for what happens in the background; a header that says nothing readable
    /// counts for nothing.
    pub fn of_header(header: &str) -> Option<Self> {
        let u = header
            .split(',')
            .find_map(|part| part.trim().strip_prefix("u="))?;
        match u.split(';').next()?.trim().parse::<u8>().ok()? {
            0..=2 => Some(Self::Interactive),
            3..=4 => Some(Self::Normal),
            5..=7 => Some(Self::Background),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_urgency_of_http_becomes_a_priority() {
        for (header, priority) in [
            ("u=0", Some(Priority::Interactive)),
            ("i, u=3", Some(Priority::Normal)),
            ("u=7, i", Some(Priority::Background)),
            ("u=9", None),
            ("i", None),
            ("", None),
        ] {
            assert_eq!(Priority::of_header(header), priority, "{header}");
        }
    }
}
