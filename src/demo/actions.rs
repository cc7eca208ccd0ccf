//! What each tool does to the house, and how it reports that.

use jiff::{Zoned, fmt::strtime};
use serde_json::{Value, json};

use super::house::{Entity, House, Playback, State};
use super::overview;
use super::slots::{Slots, ToolError};
use super::target::{NoMatch, Target};

pub(super) const SHOPPING_LIST: &str = "Shopping List";

const WRONG_FEATURES: &str = "No entities supported the required features";
const WRONG_STATE: &str = "No entities matched the state";
const VOLUME_STEP: i16 = 10;
const LONGEST_ITEM: usize = 255;
const MOVIE_BRIGHTNESS: u8 = 15;

type Outcome = Result<Value, ToolError>;

pub(super) fn turn_on(house: &mut House, slots: &Slots<'_>, _: &Zoned) -> Outcome {
    let target = Target::from_slots(slots, None)?;
    let mut script = false;
    let done = apply(house, &target, WRONG_FEATURES, |entity| {
        script |= entity.state == State::Script;
        entity.turn(true)
    })?;
    if script {
        house.movie_night(MOVIE_BRIGHTNESS);
    }
    Ok(done)
}

pub(super) fn turn_off(house: &mut House, slots: &Slots<'_>, _: &Zoned) -> Outcome {
    let target = Target::from_slots(slots, None)?;
    apply(house, &target, WRONG_FEATURES, |entity| entity.turn(false))
}

pub(super) fn set_position(house: &mut House, slots: &Slots<'_>, _: &Zoned) -> Outcome {
    let wanted = slots.required(slots.percentage("position")?)?;
    let target = Target::from_slots(slots, None)?;
    apply(house, &target, WRONG_FEATURES, |entity| {
        match &mut entity.state {
            State::Cover { position } => {
                *position = wanted;
                true
            }
            _ => false,
        }
    })
}

pub(super) fn set_light(house: &mut House, slots: &Slots<'_>, _: &Zoned) -> Outcome {
    let target = Target::from_slots(slots, Some("light"))?;
    let wanted = slots.percentage("brightness")?;
    if slots.text("color")?.is_some() || slots.number("temperature")?.is_some() {
        // The lights of this house are white.
        target.find_mut(house)?;
        return Err(target.no_match(WRONG_FEATURES));
    }
    apply(house, &target, WRONG_FEATURES, |entity| {
        match &mut entity.state {
            State::Light { on, brightness } => {
                *on = wanted != Some(0);
                *brightness = wanted.filter(|&level| level > 0).unwrap_or(*brightness);
                true
            }
            _ => false,
        }
    })
}

pub(super) fn set_temperature(house: &mut House, slots: &Slots<'_>, _: &Zoned) -> Outcome {
    let wanted = slots.required(slots.number("temperature")?)?;
    let known = Target::from_slots(slots, Some("climate"))?;
    if !(7.0..=35.0).contains(&wanted) {
        return Err(ToolError::Raised(format!(
            "Provided temperature {wanted:?} is not valid. Accepted range is 7 to 35"
        )));
    }
    apply(house, &known, WRONG_FEATURES, |entity| {
        match &mut entity.state {
            State::Climate { target, .. } => {
                *target = wanted;
                true
            }
            _ => false,
        }
    })
}

pub(super) fn pause(house: &mut House, slots: &Slots<'_>, _: &Zoned) -> Outcome {
    on_players(house, slots, |playback, _, _| {
        let was_playing = *playback == Playback::Playing;
        if was_playing {
            *playback = Playback::Paused;
        }
        was_playing
    })
}

pub(super) fn unpause(house: &mut House, slots: &Slots<'_>, _: &Zoned) -> Outcome {
    on_players(house, slots, |playback, _, _| {
        *playback = Playback::Playing;
        true
    })
}

pub(super) fn next(house: &mut House, slots: &Slots<'_>, _: &Zoned) -> Outcome {
    on_players(house, slots, |playback, _, title| {
        let is_playing = *playback == Playback::Playing;
        *title += usize::from(is_playing);
        is_playing
    })
}

pub(super) fn set_volume(house: &mut House, slots: &Slots<'_>, _: &Zoned) -> Outcome {
    let level = slots.required(slots.percentage("volume_level")?)?;
    on_players(house, slots, |_, volume, _| {
        *volume = level;
        true
    })
}

pub(super) fn change_volume(house: &mut House, slots: &Slots<'_>, _: &Zoned) -> Outcome {
    let step = match slots.required(slots.text("volume_step")?)?.as_str() {
        "up" => VOLUME_STEP,
        "down" => -VOLUME_STEP,
        number => number
            .parse()
            .ok()
            .filter(|step| (-100..=100).contains(step))
            .ok_or_else(|| slots.invalid())?,
    };
    on_players(house, slots, |_, volume, _| {
        let level = (i16::from(*volume) + step).clamp(0, 100);
        *volume = u8::try_from(level).unwrap_or(*volume);
        true
    })
}

pub(super) fn live_context(house: &mut House, slots: &Slots<'_>, now: &Zoned) -> Outcome {
    let target = Target {
        name: slots.filter("name"),
        area: slots.filter("area"),
        domains: slots.texts("domain")?,
        ..Target::default()
    };
    let found = target.find(house).map_err(|reason| {
        let name = target.name.as_deref().unwrap_or_default();
        let area = target.area.as_deref().unwrap_or_default();
        ToolError::Reported(match reason {
            NoMatch::UnknownArea => format!("Area '{area}' does not exist"),
            NoMatch::Name => format!("No exposed entities matched name '{name}'"),
            NoMatch::Area => format!("No exposed entities found in area '{area}'"),
            NoMatch::Domain => {
                format!(
                    "No exposed entities found in domain(s): {}",
                    target.domains.join(", ")
                )
            }
            NoMatch::UnknownFloor | NoMatch::Floor | NoMatch::DeviceClass => {
                "No entities matched the provided filter".to_owned()
            }
        })
    })?;
    Ok(json!({ "result": overview::live(found.into_iter(), now.timestamp()) }))
}

pub(super) fn date_time(_: &mut House, _: &Slots<'_>, now: &Zoned) -> Outcome {
    let part =
        |format| strtime::format(format, now).map_err(|error| ToolError::Raised(error.to_string()));
    Ok(json!({
        "date": part("%Y-%m-%d")?,
        "time": part("%H:%M:%S")?,
        "timezone": part("%Z")?,
        "weekday": part("%A")?,
    }))
}

pub(super) fn movie_night(house: &mut House, slots: &Slots<'_>, _: &Zoned) -> Outcome {
    let brightness = slots.percentage("brightness")?.unwrap_or(MOVIE_BRIGHTNESS);
    house.movie_night(brightness);
    Ok(json!({"result": {"brightness": brightness}}))
}

pub(super) fn list_items(house: &mut House, slots: &Slots<'_>, _: &Zoned) -> Outcome {
    let list = choice(slots, "todo_list", &[SHOPPING_LIST])?;
    let status = match slots.filter("status") {
        Some(_) => choice(slots, "status", &["needs_action", "completed", "all"])?,
        None => "needs_action",
    };
    let lists = house.entities.iter().filter(|entity| entity.name == list);
    let items = lists.filter_map(|entity| match &entity.state {
        State::Todo { items } => Some(items),
        _ => None,
    });
    let wanted = items
        .flatten()
        .filter(|item| status == "all" || item.status() == status);
    let items: Vec<_> = wanted
        .map(|item| json!({"summary": item.summary, "status": item.status()}))
        .collect();
    Ok(json!({ "result": items }))
}

pub(super) fn add_item(house: &mut House, slots: &Slots<'_>, _: &Zoned) -> Outcome {
    let (target, summary) = list_and_item(slots)?;
    if summary.chars().count() > LONGEST_ITEM {
        return Err(slots.invalid());
    }
    apply(house, &target, "The list is full", |entity| {
        entity.state.add_item(summary.clone())
    })
}

pub(super) fn complete_item(house: &mut House, slots: &Slots<'_>, _: &Zoned) -> Outcome {
    let (target, summary) = list_and_item(slots)?;
    let mut found = false;
    let done = apply(house, &target, WRONG_FEATURES, |entity| {
        if let State::Todo { items } = &mut entity.state {
            let mut open = items.iter_mut().filter(|item| !item.done);
            let item = open.find(|item| item.summary.to_lowercase() == summary.to_lowercase());
            found |= item.is_some();
            if let Some(item) = item {
                item.done = true;
            }
        }
        true
    })?;
    if found {
        Ok(done)
    } else {
        Err(ToolError::Raised(format!(
            "Item '{summary}' not found on list"
        )))
    }
}

/// Changes every target that takes the change. What else a room holds is passed over, but at least
/// one must take it.
fn apply(
    house: &mut House,
    target: &Target,
    refusal: &str,
    mut change: impl FnMut(&mut Entity) -> bool,
) -> Outcome {
    let mut success: Vec<Value> = Vec::new();
    for entity in target.find_mut(house)? {
        if change(entity) {
            success.push(json!({"name": entity.name, "type": "entity", "id": entity.id}));
        }
    }
    if success.is_empty() {
        return Err(target.no_match(refusal));
    }
    let success: Vec<_> = target.place().into_iter().chain(success).collect();
    Ok(json!({
        "speech": {},
        "response_type": "action_done",
        "data": {"success": success, "failed": []},
    }))
}

fn on_players(
    house: &mut House,
    slots: &Slots<'_>,
    mut change: impl FnMut(&mut Playback, &mut u8, &mut usize) -> bool,
) -> Outcome {
    let target = Target::from_slots(slots, Some("media_player"))?;
    apply(house, &target, WRONG_STATE, |entity| {
        match &mut entity.state {
            State::Media {
                playback,
                volume,
                titles,
                title,
            } => {
                let changed = change(playback, volume, title);
                *title %= titles.len().max(1);
                changed
            }
            _ => false,
        }
    })
}

fn list_and_item(slots: &Slots<'_>) -> Result<(Target, String), ToolError> {
    let item = slots.required(slots.text("item")?)?;
    let name = slots.required(slots.text("name")?)?;
    let domains = vec!["todo".to_owned()];
    Ok((
        Target {
            name: Some(name),
            domains,
            ..Target::default()
        },
        item,
    ))
}

fn choice<'a>(slots: &Slots<'_>, slot: &str, choices: &[&'a str]) -> Result<&'a str, ToolError> {
    let given = slots.filter(slot);
    let known = choices
        .iter()
        .find(|choice| given.as_deref() == Some(**choice));
    known.copied().ok_or_else(|| {
        let choices: Vec<_> = choices.iter().map(|choice| format!("'{choice}'")).collect();
        ToolError::Raised(format!(
            "value must be one of [{}] for dictionary value @ data['{slot}']",
            choices.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests;
