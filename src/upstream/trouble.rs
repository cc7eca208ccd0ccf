//! What can go wrong between the bridge and an upstream, and what it means in the catalogue.

use crate::error::{Code, Failure};

/// Why there is no answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No connection, so nothing was sent.
    #[error("no connection: {0}")]
    Connect(String),
    /// No trustworthy connection: TLS was refused, by either side. Nothing was sent.
    #[error("no secure connection: {0}")]
    Tls(String),
    /// A time limit passed after the request was sent.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke after the request was sent, before an answer.
    #[error("connection lost: {0}")]
    Lost(String),
    /// The answer broke off.
    #[error("answer broke off: {0}")]
    Truncated(String),
    /// The answer is larger than allowed.
    #[error("answer larger than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// An answer that is no answer to this request; why.
    #[error("{0}")]
    NotAnAnswer(String),
    /// A redirect to this address.
    #[error("redirect to {0}")]
    Redirect(String),
    /// Trouble before the request, when the upstream was greeted; nothing of the request was sent.
    #[error("{0}")]
    Greeting(Box<Self>),
    /// It is there, and does not serve MCP yet.
    #[error("not ready yet")]
    NotReady,
    /// It answered, but went down meanwhile: of what it stops in the middle it says that it is
    /// done.
    #[error("it went down while the call was running, and its answer is not to be believed")]
    WentDown,
    /// An HTTP status other than success, with the beginning of the body.
    #[error("HTTP {status}: {text}")]
    Status {
        /// The status.
        status: u16,
        /// The beginning of the body, on one line.
        text: String,
    },
}

impl Trouble {
    /// What really happened, be it while greeting or while asking.
    pub fn root(&self) -> &Self {
        match self {
            Self::Greeting(trouble) => trouble.root(),
            other => other,
        }
    }

    /// Whether the upstream may have carried the request out. When in doubt, yes: a write that is
    /// taken for undone is done twice.
    pub const fn may_have_run(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::Tls(_)
            | Self::Redirect(_)
            | Self::Greeting(_)
            | Self::NotReady => false,
            Self::Timeout
            | Self::WentDown
            | Self::Lost(_)
            | Self::Truncated(_)
            | Self::TooLarge { .. }
            | Self::NotAnAnswer(_) => true,
            Self::Status { status, .. } => *status >= 500 && *status != 503,
        }
    }

    /// Its row of the catalogue.
    pub fn code(&self) -> Code {
        match self {
            Self::Connect(_) => Code::Unreachable,
            Self::Tls(_) => Code::NotTrusted,
            Self::NotReady => Code::Starting,
            Self::WentDown => Code::Stopping,
            Self::Timeout => Code::Timeout,
            Self::Lost(_) => Code::ConnectionLost,
            Self::Truncated(_) => Code::TruncatedAnswer,
            Self::TooLarge { .. } => Code::AnswerTooLarge,
            Self::NotAnAnswer(_) => Code::BadAnswer,
            Self::Redirect(_) => Code::Redirected,
            Self::Greeting(trouble) => trouble.code(),
            Self::Status { status, .. } => match *status {
                400 => Code::RefusedRequest,
                401 => Code::UpstreamTokenRefused,
                403 => Code::Forbidden,
                404 => Code::NotSetUp,
                502 => Code::Starting,
                503 => Code::Stopping,
                504 => Code::Timeout,
                _ => Code::UnexpectedStatus,
            },
        }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self {
            outcome_unknown: trouble.may_have_run(),
            ..Self::with(trouble.code(), &trouble)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> Trouble {
        Trouble::Status {
            status,
            text: String::new(),
        }
    }

    #[test]
    fn each_status_of_home_assistant_has_its_own_meaning() {
        let meanings = [
            (400, Code::RefusedRequest),
            (401, Code::UpstreamTokenRefused),
            (403, Code::Forbidden),
            (404, Code::NotSetUp),
            (502, Code::Starting),
            (503, Code::Stopping),
            (504, Code::Timeout),
            (500, Code::UnexpectedStatus),
            (418, Code::UnexpectedStatus),
        ];
        for (code, meaning) in meanings {
            assert_eq!(status(code).code(), meaning);
        }
    }

    #[test]
    fn only_what_surely_never_ran_counts_as_not_run() {
        for trouble in [
            Trouble::Connect(String::new()),
            Trouble::Tls(String::new()),
            status(400),
            status(404),
            status(503),
        ] {
            assert!(!trouble.may_have_run(), "{trouble}");
        }
        for trouble in [
            Trouble::Timeout,
            Trouble::Lost(String::new()),
            status(500),
            status(502),
            status(504),
        ] {
            assert!(trouble.may_have_run(), "{trouble}");
        }
    }
}
