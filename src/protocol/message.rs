//! The JSON-RPC envelope: what kind of message it is, its id, method and params; everything else
//! stays raw bytes.

use std::sync::OnceLock;

use bytes::Bytes;

use super::json::{Index, Members, RawJson};

/// Why bytes are not a message. Each variant's text is the sentence that the sender reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Nothing was sent.
    #[error("the body is empty; send one JSON-RPC message")]
    Empty,
    /// Not UTF-8, at this byte.
    #[error("the body is not UTF-8 text (byte {0})")]
    NotUtf8(usize),
    /// Nested more deeply than the given number of levels.
    #[error("the JSON is nested {deep} levels deep, at most {limit} are accepted")]
    TooDeep {
        /// Levels in the body.
        deep: usize,
        /// Levels accepted.
        limit: usize,
    },
    /// Not JSON; the parser's words.
    #[error("the body is not valid JSON: {0}")]
    Syntax(String),
    /// A batch of more members than are accepted.
    #[error("a batch of more than {0} messages; at most {0} are accepted")]
    TooMany(usize),
    /// JSON, but not a JSON-RPC 2.0 message of MCP; the sentence says why.
    #[error("{0}")]
    Invalid(&'static str),
}

/// The id of a request: a string or an integer of any size, as the bytes in which it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Id(RawJson);

impl Id {
    /// An id of our own.
    pub fn number(n: u64) -> Self {
        Self(RawJson::of(&n))
    }

    /// An id of our own that is a text.
    pub fn text(text: &str) -> Self {
        Self(RawJson::of(&text))
    }

    /// The id that a piece of JSON is; nothing if it is none.
    pub fn of_json(raw: RawJson) -> Option<Self> {
        Self::read(raw)
    }

    /// The id as JSON.
    pub const fn json(&self) -> &RawJson {
        &self.0
    }

    /// Whether common servers take it for an id and give it back in the same bytes: a string of plain
    /// ASCII, or an integer that fits 64 bits with sign. Home Assistant takes a larger number for a
    /// sign of a notification and answers nothing, and writes other strings with escapes of its own.
    pub fn is_portable(&self) -> bool {
        let text = self.0.as_bytes();
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
        match text.first() {
            Some(b'"') => text.iter().all(is_plain),
            _ => self
                .0
                .read::<i64>()
                .is_ok_and(|n| n.to_string().as_bytes() == text),
        }
    }

    fn read(raw: RawJson) -> Option<Self> {
        let text = raw.as_bytes();
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let is_integer = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        (text.first() == Some(&b'"') || is_integer).then_some(Self(raw))
    }
}

/// A request: it has an id and gets exactly one answer.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its id.
    pub id: Id,
    /// Its method, escapes resolved.
    pub method: String,
    /// Its params, always an object where they are there at all.
    pub params: Option<RawJson>,
    whole: Bytes,
    /// The members of `params`, once somebody has asked for them.
    index: OnceLock<Index>,
}

impl Request {
    /// A request of our own making.
    pub fn new(id: Id, method: &str, params: Option<RawJson>) -> Self {
        let (version, name) = (RawJson::of(&"2.0"), RawJson::of(&method));
        let mut members = vec![("jsonrpc", &version), ("id", id.json()), ("method", &name)];
        members.extend(params.as_ref().map(|params| ("params", params)));
        Self {
            whole: RawJson::object(&members).into_bytes(),
            id,
            method: method.to_owned(),
            params,
            index: OnceLock::new(),
        }
    }

    /// The message as it goes over the wire.
    pub fn to_bytes(&self) -> Bytes {
        self.whole.clone()
    }

    /// The same request under another id.
    #[must_use]
    pub fn with_id(&self, id: Id) -> Self {
        Self {
            whole: replace(&self.whole, "id", id.json()),
            id,
            ..self.clone()
        }
    }

    /// The same request with other params.
    #[must_use]
    pub fn with_params(&self, params: RawJson) -> Self {
        Self {
            whole: replace(&self.whole, "params", &params),
            params: Some(params),
            index: OnceLock::new(),
            ..self.clone()
        }
    }

    /// The members of `params`; none where it has no params.
    pub fn param_members(&self) -> Members<'_> {
        self.params.as_ref().map_or_else(Members::empty, |params| {
            let index = self.index.get_or_init(|| Index::of(params));
            index.members(params)
        })
    }
}

/// What a response carries.
#[derive(Debug, Clone)]
pub enum Payload {
    /// The `result`.
    Result(RawJson),
    /// The `error` object.
    Error(RawJson),
}

/// A response: the one answer to a request.
#[derive(Debug, Clone)]
pub struct Response {
    /// The id of the request, or nothing where the request could not be read.
    pub id: Option<Id>,
    /// Result or error.
    pub payload: Payload,
    whole: Bytes,
}

impl Response {
    /// A response of our own making.
    pub fn new(id: Option<Id>, payload: Payload) -> Self {
        let version = RawJson::of(&"2.0");
        let name = id
            .as_ref()
            .map_or_else(|| RawJson::of(&()), |id| id.0.clone());
        let answer = match &payload {
            Payload::Result(json) => ("result", json),
            Payload::Error(json) => ("error", json),
        };
        let members = [("jsonrpc", &version), ("id", &name), answer];
        Self {
            whole: RawJson::object(&members).into_bytes(),
            id,
            payload,
        }
    }

    /// The message as it goes over the wire.
    pub fn to_bytes(&self) -> Bytes {
        self.whole.clone()
    }

    /// The same response under another id; the very same bytes where the id is the same already.
    #[must_use]
    pub fn with_id(self, id: &Id) -> Self {
        if self.id.as_ref() == Some(id) {
            return self;
        }
        Self {
            whole: replace(&self.whole, "id", id.json()),
            id: Some(id.clone()),
            payload: self.payload,
        }
    }

    /// The same response with another result.
    #[must_use]
    pub fn with_result(self, result: RawJson) -> Self {
        Self {
            whole: replace(&self.whole, "result", &result),
            payload: Payload::Result(result),
            ..self
        }
    }

    /// The same response with another code in its error; a result stays as it is.
    #[must_use]
    pub fn with_error_code(self, code: i32) -> Self {
        let Payload::Error(error) = &self.payload else {
            return self;
        };
        let Some(mut members) = error.members() else {
            return self;
        };
        members.set("code", &RawJson::of(&code));
        let error = members.write();
        Self {
            whole: replace(&self.whole, "error", &error),
            payload: Payload::Error(error),
            ..self
        }
    }

    /// The code of the error that it carries, if it carries one.
    pub fn error_code(&self) -> Option<i64> {
        match &self.payload {
            Payload::Result(_) => None,
            Payload::Error(error) => error.members()?.get("code")?.parse().ok(),
        }
    }
}

/// A notification: it gets no answer.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Its method, escapes resolved.
    pub method: String,
    /// Its params, always an object where they are there at all.
    pub params: Option<RawJson>,
    whole: Bytes,
}

impl Notification {
    /// A notification of our own making.
    pub fn new(method: &str, params: Option<RawJson>) -> Self {
        let (version, name) = (RawJson::of(&"2.0"), RawJson::of(&method));
        let mut members = vec![("jsonrpc", &version), ("method", &name)];
        members.extend(params.as_ref().map(|params| ("params", params)));
        Self {
            whole: RawJson::object(&members).into_bytes(),
            method: method.to_owned(),
            params,
        }
    }

    /// The message as it goes over the wire.
    pub fn to_bytes(&self) -> Bytes {
        self.whole.clone()
    }

    /// The same notification with other params.
    #[must_use]
    pub fn with_params(&self, params: RawJson) -> Self {
        Self {
            whole: replace(&self.whole, "params", &params),
            method: self.method.clone(),
            params: Some(params),
        }
    }

    /// The members of `params`; none where it has no params.
    pub fn param_members(&self) -> Members<'_> {
        self.params
            .as_ref()
            .and_then(RawJson::members)
            .unwrap_or_else(Members::empty)
    }
}

/// One message of any kind.
#[derive(Debug, Clone)]
pub enum Message {
    /// Wants an answer.
    Request(Request),
    /// Wants none.
    Notification(Notification),
    /// Is one.
    Response(Response),
}

impl Message {
    /// Reads one message out of `whole`.
    ///
    /// # Errors
    /// [`Malformed::Syntax`] where it is not JSON, [`Malformed::Invalid`] where it is not a
    /// message.
    pub fn parse(whole: &Bytes) -> Result<Self, Malformed> {
        let members = Members::parse(whole).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => {
                Malformed::Invalid("a JSON-RPC message is a JSON object")
            }
            _ => Malformed::Syntax(error.to_string()),
        })?;
        if ["jsonrpc", "id", "method", "params", "result", "error"]
            .iter()
            .any(|key| members.repeats(key))
        {
            return Err(Malformed::Invalid(
                "a member of the message stands there twice",
            ));
        }
        if members.get_str("jsonrpc").as_deref() != Some("2.0") {
            return Err(Malformed::Invalid("`jsonrpc` must be \"2.0\""));
        }
        let json = |key| members.get(key).map(|text| RawJson::within(whole, text));
        let id = json("id");
        let Some(method) = members.get("method") else {
            return Self::response(whole, id, json("result"), json("error"));
        };
        let method = serde_json::from_str::<String>(method)
            .map_err(|_| Malformed::Invalid("`method` must be a string"))?;
        if members.get("result").is_some() || members.get("error").is_some() {
            return Err(Malformed::Invalid(
                "a message with a `method` has no `result` and no `error`",
            ));
        }
        let params = json("params");
        if params
            .as_ref()
            .is_some_and(|p| p.as_bytes().first() != Some(&b'{'))
        {
            return Err(Malformed::Invalid("`params` must be an object"));
        }
        let Some(id) = id else {
            let whole = whole.clone();
            return Ok(Self::Notification(Notification {
                method,
                params,
                whole,
            }));
        };
        let id = Id::read(id).ok_or(Malformed::Invalid("`id` must be a string or an integer"))?;
        Ok(Self::Request(Request {
            id,
            method,
            params,
            whole: whole.clone(),
            index: OnceLock::new(),
        }))
    }

    fn response(
        whole: &Bytes,
        id: Option<RawJson>,
        result: Option<RawJson>,
        error: Option<RawJson>,
    ) -> Result<Self, Malformed> {
        let payload = match (result, error) {
            (Some(result), None) => Payload::Result(result),
            (None, Some(error)) => Payload::Error(error),
            (None, None) => return Err(Malformed::Invalid("`method` is missing")),
            (Some(_), Some(_)) => {
                return Err(Malformed::Invalid(
                    "a response has either `result` or `error`",
                ));
            }
        };
        let id = match id {
            Some(id) if id.as_bytes() != b"null" => Some(
                Id::read(id).ok_or(Malformed::Invalid("`id` must be a string or an integer"))?,
            ),
            _ => None,
        };
        Ok(Self::Response(Response {
            id,
            payload,
            whole: whole.clone(),
        }))
    }
}

/// The message `whole` with one member replaced. A message that was parsed before has members.
fn replace(whole: &Bytes, key: &str, value: &RawJson) -> Bytes {
    let mut members = Members::parse(whole).unwrap_or_else(|_| Members::empty());
    members.set(key, value);
    members.write().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &'static str) -> Result<Message, Malformed> {
        Message::parse(&Bytes::from_static(text.as_bytes()))
    }

    fn request(text: &'static str) -> Request {
        match parse(text) {
            Ok(Message::Request(request)) => request,
            other => panic!("{text} is {other:?}"),
        }
    }

    #[test]
    fn a_request_keeps_its_bytes() {
        let text = r#" {"id" : "a", "method":"tools/call","params":{"n":1.0},"jsonrpc":"2.0","extra":[1e400]} "#;
        let request = request(text);
        assert_eq!(request.to_bytes(), text.as_bytes());
        assert_eq!(request.method, "tools/call");
        assert_eq!(request.params.unwrap().as_bytes(), br#"{"n":1.0}"#);
    }

    #[test]
    fn ids_are_strings_and_integers_and_nothing_else() {
        for good in [
            "1",
            "-7",
            "0",
            r#""x""#,
            r#""""#,
            "12345678901234567890123456789",
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{good},"method":"ping"}}"#);
            let message = Message::parse(&Bytes::from(text)).unwrap();
            assert!(
                matches!(message, Message::Request(r) if r.id.json().as_bytes() == good.as_bytes())
            );
        }
        for bad in ["null", "1.5", "1.0", "1e2", "true", "[]", "{}"] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{bad},"method":"ping"}}"#);
            let fault = Message::parse(&Bytes::from(text)).unwrap_err();
            assert_eq!(
                fault,
                Malformed::Invalid("`id` must be a string or an integer"),
                "{bad}"
            );
        }
    }

    #[test]
    fn only_plain_strings_and_64_bit_integers_are_portable() {
        let is_portable = |id: &str| {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
            match Message::parse(&Bytes::from(text)) {
                Ok(Message::Request(request)) => request.id.is_portable(),
                other => panic!("{other:?}"),
            }
        };
        for id in ["9223372036854775807", "-1", r#""x y""#, r#""""#] {
            assert!(is_portable(id), "{id}");
        }
        for id in [
            "9223372036854775808",
            "-0",
            r#""\u0061""#,
            r#""a\/b""#,
            r#""ü""#,
            "\"\u{1f600}\"",
        ] {
            assert!(!is_portable(id), "{id}");
        }
    }

    #[test]
    fn a_request_under_another_id_changes_nothing_else() {
        let request =
            request(r#"{"x":1e9,"jsonrpc":"2.0","id":99999999999999999999,"method":"ping"}"#);
        let renamed = request.with_id(Id::number(1));
        assert_eq!(
            renamed.to_bytes(),
            &br#"{"x":1e9,"jsonrpc":"2.0","id":1,"method":"ping"}"#[..]
        );
    }

    #[test]
    fn a_response_under_its_own_id_is_the_same_bytes() {
        let text = Bytes::from_static(br#"{"jsonrpc": "2.0", "id": 3, "result": {"a": 1}}"#);
        let Ok(Message::Response(response)) = Message::parse(&text) else {
            panic!()
        };
        let id = response.id.clone().unwrap();
        assert_eq!(
            response.clone().with_id(&id).to_bytes().as_ptr(),
            text.as_ptr()
        );
        let other = response.with_id(&Id::number(4)).to_bytes();
        assert_eq!(other, &br#"{"jsonrpc":"2.0","id":4,"result":{"a": 1}}"#[..]);
    }

    #[test]
    fn each_fault_of_an_envelope_has_its_own_sentence() {
        let cases = [
            (r#"{"jsonrpc":"2.0","id":1}"#, "`method` is missing"),
            (
                r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
                "`jsonrpc` must be \"2.0\"",
            ),
            (r#"{"id":1,"method":"ping"}"#, "`jsonrpc` must be \"2.0\""),
            (
                r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
                "a member of the message stands there twice",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"a","m\u0065thod":"b"}"#,
                "a member of the message stands there twice",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
                "`method` must be a string",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[1]}"#,
                "`params` must be an object",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"a","result":{}}"#,
                "a message with a `method` has no `result` and no `error`",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
                "a response has either `result` or `error`",
            ),
            ("5", "a JSON-RPC message is a JSON object"),
        ];
        for (text, sentence) in cases {
            assert_eq!(parse(text).unwrap_err().to_string(), sentence, "{text}");
        }
    }
}
