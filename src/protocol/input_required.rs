//! Questions that a modern server puts in the place of its answer (2026-07-28, multi round-trip
//! requests).

use std::collections::HashMap;

use bytes::Bytes;

use super::json::{Members, RawJson};
use super::message::{Id, Request};

/// A result that says what is missing for the real one.
#[derive(Debug, Clone)]
pub struct InputRequired {
    /// What the client is asked, under the server's names, each as the request that a legacy server
    /// would have sent. Their ids mean nothing.
    pub questions: Vec<(String, Request)>,
    /// What the server wants back with the answers, as it was written.
    pub state: Option<RawJson>,
}

impl InputRequired {
    /// The questions of a result; nothing if it is an answer.
    pub fn of_result(result: &RawJson) -> Option<Self> {
        let members = result.members()?;
        if members.get_str("resultType").as_deref() != Some("input_required") {
            return None;
        }
        let owned = |text: &str| RawJson::parse(Bytes::from(text.to_owned())).ok();
        let asked = members.get("inputRequests").unwrap_or("{}").to_owned();
        let asked = Members::parse(asked.as_bytes()).ok()?;
        let questions = asked.iter().map(|(name, question)| {
            let question = Members::parse(question.as_bytes()).ok()?;
            let method = question.get_str("method")?;
            let params = question.get("params").and_then(owned);
            let request = Request::new(Id::text(&name), &method, params);
            Some((name.into_owned(), request))
        });
        Some(Self {
            questions: questions.collect::<Option<_>>()?,
            state: members.get("requestState").and_then(owned),
        })
    }

    /// The result that says it.
    pub fn to_result(&self) -> RawJson {
        let mut asked = Members::empty();
        for (name, question) in &self.questions {
            let mut request = Members::empty();
            request.set("method", &RawJson::of(&question.method));
            if let Some(params) = &question.params {
                request.set("params", params);
            }
            asked.set(name, &request.write());
        }
        let mut result = Members::empty();
        result.set("resultType", &RawJson::of(&"input_required"));
        result.set("inputRequests", &asked.write());
        if let Some(state) = &self.state {
            result.set("requestState", state);
        }
        result.write()
    }

    /// The request once more, with the results of all questions in their order.
    #[must_use]
    pub fn answered(&self, request: &Request, results: &[RawJson]) -> Request {
        let mut responses = Members::empty();
        for ((name, _), result) in self.questions.iter().zip(results) {
            responses.set(name, result);
        }
        let mut params = request.param_members();
        params.set("inputResponses", &responses.write());
        params.remove_where(|key| key == "requestState");
        if let Some(state) = &self.state {
            params.set("requestState", state);
        }
        request.with_params(params.write())
    }
}

/// The answers to questions that a request brings along, by the names of the questions.
pub fn responses(request: &Request) -> HashMap<String, RawJson> {
    let params = request.param_members();
    let responses = params.get("inputResponses").unwrap_or("{}");
    let Ok(responses) = Members::parse(responses.as_bytes()) else {
        return HashMap::new();
    };
    let answer = |text: &str| RawJson::parse(Bytes::from(text.to_owned())).ok();
    let answers = responses.iter();
    answers
        .filter_map(|(name, text)| Some((name.into_owned(), answer(text)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(text: &'static str) -> RawJson {
        RawJson::parse(Bytes::from_static(text.as_bytes())).unwrap()
    }

    #[test]
    fn an_answer_asks_nothing() {
        for text in [r#"{"content":[]}"#, r#"{"resultType":"complete"}"#, "5"] {
            assert!(InputRequired::of_result(&result(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn the_answers_go_back_under_the_names_of_the_questions_with_the_state_as_it_came() {
        let asked = result(
            r#"{"resultType":"input_required","requestState":"a\u0062","inputRequests":{
                "who":{"method":"elicitation/create","params":{"n":1.50}},
                "roots":{"method":"roots/list"}}}"#,
        );
        let asked = InputRequired::of_result(&asked).unwrap();
        let methods: Vec<_> = asked.questions.iter().map(|(_, q)| &*q.method).collect();
        assert_eq!(methods, ["elicitation/create", "roots/list"]);
        assert_eq!(
            asked.questions[0].1.params.as_ref().unwrap().as_bytes(),
            br#"{"n":1.50}"#
        );
        let request = Request::new(Id::number(3), "tools/call", Some(result(r#"{"name":"x"}"#)));
        let again = asked.answered(&request, &[result("1"), result(r#"{"roots":[]}"#)]);
        assert_eq!(
            again.params.unwrap().as_bytes(),
            br#"{"name":"x","inputResponses":{"who":1,"roots":{"roots":[]}},"requestState":"a\u0062"}"#
        );
    }

    #[test]
    fn what_is_asked_is_read_as_it_was_written() {
        let text = r#"{"resultType":"input_required","inputRequests":{"who":{"method":"elicitation/create","params":{"n":1.50}},"roots":{"method":"roots/list"}},"requestState":"s"}"#;
        let asked = InputRequired::of_result(&result(text)).unwrap();
        assert_eq!(asked.to_result().as_bytes(), text.as_bytes());
        let params = result(r#"{"inputResponses":{"who":{"action":"accept","n":2.0},"x":5}}"#);
        let answers = responses(&Request::new(Id::number(1), "tools/call", Some(params)));
        assert_eq!(answers["who"].as_bytes(), br#"{"action":"accept","n":2.0}"#);
        assert_eq!(answers["x"].as_bytes(), b"5");
    }

    #[test]
    fn a_state_alone_is_sent_back_alone() {
        let asked = result(r#"{"resultType":"input_required","requestState":"s"}"#);
        let asked = InputRequired::of_result(&asked).unwrap();
        assert!(asked.questions.is_empty() && asked.state.is_some());
    }
}
