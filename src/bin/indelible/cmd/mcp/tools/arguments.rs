//! The arguments of a call. Each error names its parameter.

use serde_json::Value;

use super::super::protocol::{Object, shown};
use super::Refusal;

/// The arguments of a call, of which every name is known.
pub struct Arguments<'a>(&'a Object);

impl<'a> Arguments<'a> {
    /// `given`, all of which `known` has to have.
    ///
    /// # Errors
    /// The first that it does not have.
    pub fn new(given: &'a Object, known: &Object) -> Result<Arguments<'a>, Refusal> {
        match given.keys().find(|name| !known.contains_key(*name)) {
            None => Ok(Arguments(given)),
            Some(name) => {
                let known: Vec<&str> = known.keys().map(String::as_str).collect();
                Err(wrong(&shown(name), &format!("no such parameter; there are {}", known.join(", "))))
            }
        }
    }

    /// Whether `name` was given.
    pub fn is_given(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// The text `name`; `None` if it was not given.
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, &format!("has to be text, and is {}", kind_of(other)))),
        }
    }

    /// The text `name`, which has to be there and not blank.
    pub fn required(&self, name: &str) -> Result<&'a str, Refusal> {
        match self.text(name)? {
            Some(text) if !text.trim().is_empty() => Ok(text),
            Some(_) => Err(wrong(name, "must not be empty")),
            None => Err(wrong(name, "is required")),
        }
    }

    /// The text or number `name`, as text.
    pub fn text_or_number(&self, name: &str) -> Result<Option<String>, Refusal> {
        match self.0.get(name) {
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            _ => Ok(self.text(name)?.map(str::to_owned)),
        }
    }

    /// The whole number `name`, from `least` to `most`.
    pub fn number(&self, name: &str, least: usize, most: usize) -> Result<Option<usize>, Refusal> {
        let value = match self.0.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value,
        };
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        let fits = number.filter(|number| (least..=most).contains(number));
        fits.map(Some).ok_or_else(|| wrong(name, &format!("has to be a whole number from {least} to {most}")))
    }

    /// The texts `name`: a list, or one text with commas.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, Refusal> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) => {
                Ok(text.split(',').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect())
            }
            Some(Value::Array(items)) => {
                let texts = items.iter().map(|item| item.as_str().map(|it| it.trim().to_owned()));
                texts.collect::<Option<Vec<_>>>().ok_or_else(|| wrong(name, "has to be a list of texts"))
            }
            Some(other) => Err(wrong(name, &format!("has to be a list of texts, and is {}", kind_of(other)))),
        }
    }
}

/// The refusal of the parameter `name`.
pub fn wrong(name: &str, problem: &str) -> Refusal {
    Refusal(format!("{name}: {problem}"))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::members;
    use super::*;

    #[test]
    fn each_error_names_its_parameter() {
        let given =
            members(json!({ "text": 7, "blank": " ", "null": null, "list": ["a", 1], "number": 26, "half": 1.5 }));
        let arguments = Arguments::new(&given, &given).expect("all are known");
        for (found, wanted) in [
            (arguments.required("text").map(drop), "text: has to be text, and is a number"),
            (arguments.required("blank").map(drop), "blank: must not be empty"),
            (arguments.required("null").map(drop), "null: is required"),
            (arguments.texts("list").map(drop), "list: has to be a list of texts"),
            (arguments.texts("number").map(drop), "number: has to be a list of texts, and is a number"),
            (arguments.number("number", 1, 25).map(drop), "number: has to be a whole number from 1 to 25"),
            (arguments.number("half", 1, 25).map(drop), "half: has to be a whole number from 1 to 25"),
        ] {
            assert_eq!(found, Err(Refusal(wanted.into())));
        }
        let unknown = Arguments::new(&given, &members(json!({ "a": {}, "b": {} }))).map(drop);
        assert_eq!(unknown, Err(Refusal("blank: no such parameter; there are a, b".into())));
        let given = members(json!({ "tags": "a, b,", "severity": 4, "list": [" c "] }));
        let arguments = Arguments::new(&given, &given).expect("all are known");
        assert_eq!(arguments.texts("tags"), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(arguments.texts("list"), Ok(vec!["c".into()]));
        assert_eq!(arguments.text_or_number("severity"), Ok(Some("4".into())));
        assert_eq!(arguments.number("none", 1, 2), Ok(None));
    }
}
