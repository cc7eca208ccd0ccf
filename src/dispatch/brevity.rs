//! How much a model is told at once: what is longer is cut at the end of a line, and says so.

use serde_json::value::RawValue;

use crate::protocol::json::{Members, RawJson};

/// Bytes of what models are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Of the instructions that are made of Home Assistant's prompt; 0 for none.
    pub instructions: usize,
    /// Of a text in the answer of a tool; 0 for any number.
    pub answer: usize,
}

/// The text if it is short enough, otherwise its beginning and this remark, which say together no
/// more than `most` bytes, or nothing but the remark.
pub(super) fn shortened(text: &str, most: usize, remark: &str) -> Option<String> {
    if text.len() <= most {
        return None;
    }
    let room = most.saturating_sub(remark.len() + 1);
    let beginning = &text[..text.floor_char_boundary(room)];
    // A line that is longer than half of it is cut, too.
    let line = beginning.rfind('\n').filter(|end| *end >= room / 2);
    let beginning = line.map_or(beginning, |end| &beginning[..end]);
    Some(format!("{beginning}\n{remark}"))
}

/// The result of a tool with its texts cut to `most` bytes each; nothing if they are short enough.
pub(super) fn shortened_result(result: &RawJson, most: usize) -> Option<RawJson> {
    if most == 0 || result.as_bytes().len() <= most {
        return None;
    }
    let mut members = result.members()?;
    let content: Vec<&RawValue> = serde_json::from_str(members.get("content")?).ok()?;
    let mut is_cut = false;
    let content = content.into_iter().map(|block| {
        let shorter = shortened_block(block, most);
        is_cut |= shorter.is_some();
        shorter.or_else(|| RawJson::parse(block.get().to_owned().into()).ok())
    });
    let content: Vec<RawJson> = content.collect::<Option<_>>()?;
    if !is_cut {
        return None;
    }
    members.set("content", &RawJson::of(&content));
    members.set_within("_meta", "mcp-bridge/cut", &RawJson::of(&true));
    Some(members.write())
}

fn shortened_block(block: &RawValue, most: usize) -> Option<RawJson> {
    let mut block = Members::parse(block.get().as_bytes()).ok()?;
    if block.get_str("type")? != "text" {
        return None;
    }
    let text = block.get_str("text")?;
    if text.len() <= most {
        return None;
    }
    let remark = format!(
        "[The bridge cut this answer of {} bytes here. Ask for less, with a filter such as a name, an \
         area or a domain.]",
        text.len()
    );
    let shorter =
        shortened_object(&text, most, &remark).or_else(|| shortened(&text, most, &remark));
    let shorter = RawJson::of(&shorter?);
    block.set("text", &shorter);
    Some(block.write())
}

/// A text that is a JSON object stays one: Home Assistant puts long texts into a member of it.
fn shortened_object(text: &str, most: usize, remark: &str) -> Option<String> {
    let mut members = Members::parse(text.as_bytes()).ok()?;
    let (key, raw) = members.iter().max_by_key(|(_, raw)| raw.len())?;
    let (key, length) = (key.into_owned(), raw.len());
    let value = members.get_str(&key)?.into_owned();
    if value.is_empty() {
        return None;
    }
    let mut room = (most + length)
        .checked_sub(text.len())?
        .min(value.len() - 1);
    while room > remark.len() {
        members.set(&key, &RawJson::of(&shortened(&value, room, remark)?));
        let text = members.write();
        // Characters that are escaped take more room there than they do in the value.
        let Some(excess) = text.as_bytes().len().checked_sub(most + 1) else {
            return String::from_utf8(text.as_bytes().to_vec()).ok();
        };
        room = room.saturating_sub(excess + 1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn result(text: &str) -> RawJson {
        RawJson::of(
            &json!({"content": [{"type": "text", "text": text}], "isError": false, "x": 1.0}),
        )
    }

    fn text(result: &RawJson) -> String {
        let result: Value = result.read().unwrap();
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }

    #[test]
    fn what_is_short_enough_stays_as_it_is() {
        assert_eq!(shortened("a\nb", 3, "cut"), None);
        assert_eq!(shortened_result(&result(&"x".repeat(500)), 500), None);
        assert_eq!(shortened_result(&result(&"x".repeat(500)), 0), None);
        let odd = RawJson::of(&json!({"content": 5, "x": "x".repeat(500)}));
        assert_eq!(shortened_result(&odd, 100), None);
        let picture = json!({"content": [{"type": "image", "data": "x".repeat(500)}]});
        assert_eq!(shortened_result(&RawJson::of(&picture), 100), None);
    }

    #[test]
    fn a_long_text_ends_with_a_line_and_the_remark() {
        let short = shortened("first line\nsecond line\nthird line", 30, "cut").unwrap();
        assert_eq!(short, "first line\nsecond line\ncut");
        assert_eq!(shortened(&"ü".repeat(20), 12, "cut").unwrap(), "üüüü\ncut");
    }

    #[test]
    fn an_answer_of_home_assistant_stays_readable_json() {
        let names: Vec<_> = (0..200)
            .map(|n| format!("- names: Lamp {n}\n  state: 'on'\n"))
            .collect();
        let live = json!({"success": true, "result": format!("Live Context:\n{}", names.concat())});
        let cut = shortened_result(&result(&live.to_string()), 1000).unwrap();
        let told: Value = serde_json::from_str(&text(&cut)).unwrap();
        assert_eq!(told["success"], true);
        let told = told["result"].as_str().unwrap();
        assert!(told.starts_with("Live Context:\n- names: Lamp 0\n") && told.ends_with(".]"));
        assert!(text(&cut).len() <= 1000);
        let cut: Value = cut.read().unwrap();
        assert_eq!(
            (&cut["x"], &cut["_meta"]["mcp-bridge/cut"]),
            (&json!(1.0), &json!(true))
        );
    }

    proptest! {
        #[test]
        fn no_text_is_longer_than_it_may_be(
            said in "(\\PC|\n|\"){0,400}",
            is_json in any::<bool>(),
            most in 200_usize..300,
        ) {
            let said = if is_json { json!({"result": said, "n": 1}).to_string() } else { said };
            match shortened_result(&result(&said), most) {
                Some(cut) => {
                    let told = text(&cut);
                    prop_assert!(told.len() <= most, "{} > {most}", told.len());
                    prop_assert!(told.contains("The bridge cut this answer"));
                }
                None => prop_assert!(said.len() <= most),
            }
        }
    }
}
