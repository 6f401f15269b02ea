//! The Model Context Protocol on the wire: bytes become messages, answers become JSON. Pure.
//!
//! | revision | how a request says it | what this server does |
//! | --- | --- | --- |
//! | 2026-07-28 | `_meta` of each request names the version | each request is served on its own |
//! | 2024-11-05 to 2025-11-25 | `initialize` came before, in the same process | requests without `_meta` are served that way |
//!
//! 1. A message without a usable id gets an answer without an id, as the newer schemas allow: it is never `null`.
//! 2. Neither a notification nor a response is ever answered.
//! 3. Batches are of 2025-03-26 alone. Elsewhere a list is an invalid request.

use serde_json::{Map, Value, json};

/// The revision without a handshake.
pub const STATELESS: &str = "2026-07-28";
/// The revisions with a handshake, the oldest first.
pub const WITH_HANDSHAKE: [&str; 4] = ["2024-11-05", BATCHES, "2025-06-18", "2025-11-25"];
/// The one revision that has batches.
pub const BATCHES: &str = "2025-03-26";

/// The name of the version in a request's `_meta`.
pub const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// The name of the client's capabilities there.
pub const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The name of what the client calls itself there.
pub const CLIENT: &str = "io.modelcontextprotocol/clientInfo";
/// The name of what the server calls itself in a result's `_meta`.
pub const SERVER: &str = "io.modelcontextprotocol/serverInfo";
/// The name of a subscription in the `_meta` of what belongs to it.
pub const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A JSON object.
pub type Object = Map<String, Value>;

/// One message of a client.
#[derive(Debug, PartialEq)]
pub enum Message {
    /// It waits for an answer.
    Request(Request),
    /// It does not.
    Notification(Notification),
    /// An answer to a request, which this server never sends.
    Response,
    /// Several messages in one line.
    Batch(Vec<Message>),
    /// None of these. The answer has the id, if one could be read.
    Invalid(Option<Value>, Error),
}

/// A message that waits for an answer.
#[derive(Debug, PartialEq)]
pub struct Request {
    /// Text or a whole number.
    pub id: Value,
    /// What is asked for.
    pub method: String,
    /// How.
    pub params: Object,
}

/// A message that does not wait for an answer.
#[derive(Debug, PartialEq)]
pub struct Notification {
    /// What happened.
    pub method: String,
    /// More about it.
    pub params: Object,
}

/// An error of the protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    code: i32,
    message: String,
    data: Option<Value>,
}

impl Error {
    /// A line that is not JSON.
    pub fn not_json(why: impl std::fmt::Display) -> Error {
        Error::new(-32700, format!("not JSON: {why}"))
    }

    /// JSON that is not a message.
    pub fn invalid_request(why: impl Into<String>) -> Error {
        Error::new(-32600, why)
    }

    /// A method that this revision or this server does not have.
    pub fn unknown_method(method: &str) -> Error {
        Error::new(-32601, format!("unknown method: {}", shown(method)))
    }

    /// Parameters that are missing or of a wrong type.
    pub fn invalid_params(why: impl Into<String>) -> Error {
        Error::new(-32602, why)
    }

    /// A bug of this server.
    pub fn internal() -> Error {
        Error::new(-32603, "a bug in indelible; nothing was lost that was acknowledged before")
    }

    /// Something that could not be done, for the reason `why`.
    pub fn failed(why: impl Into<String>) -> Error {
        Error::new(-32603, why)
    }

    /// A resource that does not exist: the code is of the revision `era`.
    pub fn no_resource(uri: &str, era: &Era) -> Error {
        let code = if matches!(era, Era::Stateless) { -32602 } else { -32002 };
        let error = Error::new(code, format!("resource not found: {}", shown(uri)));
        Error { data: Some(json!({ "uri": uri })), ..error }
    }

    /// A version that this server does not speak.
    fn unknown_version(version: &str) -> Error {
        let data = json!({ "supported": [STATELESS], "requested": version });
        let why = format!("unsupported protocol version: {}", shown(version));
        Error { data: Some(data), ..Error::new(-32022, why) }
    }

    fn new(code: i32, message: impl Into<String>) -> Error {
        Error { code, message: message.into(), data: None }
    }
}

/// The most characters of a client's text that an error repeats.
const SHOWN_CHARS_MAX: usize = 80;

/// `text` of a client as an error repeats it.
pub fn shown(text: &str) -> String {
    use indelible::model::text::{shortened, visible_line, visible_to_agents};
    visible_to_agents(&visible_line(&shortened(text, SHOWN_CHARS_MAX)))
}

/// Reads one line.
pub fn message(bytes: &[u8]) -> Message {
    let bytes = indelible::model::text::without_mark(bytes);
    match serde_json::from_slice(bytes) {
        Ok(Value::Array(items)) if items.is_empty() => {
            Message::Invalid(None, Error::invalid_request("a batch of no messages"))
        }
        Ok(Value::Array(items)) => Message::Batch(items.into_iter().map(of_value).collect()),
        Ok(value) => of_value(value),
        Err(error) => {
            let mut scan = IdScan::default();
            scan.feed(bytes);
            // The id of what is no message could be anything: what is only nested too deeply is one.
            let id = scan.id().filter(|_| error.to_string().starts_with("recursion limit"));
            Message::Invalid(id, Error::not_json(error))
        }
    }
}

fn of_value(value: Value) -> Message {
    let Value::Object(mut object) = value else {
        return Message::Invalid(None, Error::invalid_request("a message is an object"));
    };
    let id = object.remove("id");
    let usable = id.clone().filter(is_id);
    let invalid = |error: Error| Message::Invalid(usable.clone(), error);
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return invalid(Error::invalid_request("`jsonrpc` has to be \"2.0\""));
    }
    let params = object.remove("params");
    match (object.remove("method"), id) {
        (Some(Value::String(method)), None) => {
            let params = if let Some(Value::Object(params)) = params { params } else { Object::new() };
            Message::Notification(Notification { method, params })
        }
        (Some(Value::String(method)), Some(id)) if is_id(&id) => match params {
            None => Message::Request(Request { id, method, params: Object::new() }),
            Some(Value::Object(params)) => Message::Request(Request { id, method, params }),
            Some(_) => invalid(Error::invalid_params("`params` has to be an object")),
        },
        (Some(Value::String(_)), Some(_)) => invalid(Error::invalid_request("`id` has to be text or a whole number")),
        (None, Some(_)) if object.contains_key("result") || object.contains_key("error") => Message::Response,
        _ => invalid(Error::invalid_request("a message has a `method`")),
    }
}

fn is_id(value: &Value) -> bool {
    value.is_string() || value.is_i64() || value.is_u64()
}

/// Which revision a request is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Era {
    /// [`STATELESS`].
    Stateless,
    /// One of [`WITH_HANDSHAKE`].
    Handshake(&'static str),
}

impl Request {
    /// The revision that the request is of. `agreed` is the one that a handshake agreed on.
    ///
    /// # Errors
    /// An unknown version; a request that has neither `_meta` nor had a handshake before.
    pub fn era(&self, agreed: Option<&'static str>) -> Result<Era, Error> {
        let meta = self.meta();
        let Some(version) = meta.and_then(|meta| meta.get(VERSION)) else {
            let missing = || {
                let why = format!("`_meta` lacks `{VERSION}` ({STATELESS}), and no `initialize` came before");
                Error::invalid_params(why)
            };
            return agreed.map(Era::Handshake).ok_or_else(missing);
        };
        let version = version.as_str().ok_or_else(|| Error::invalid_params(format!("`{VERSION}` has to be text")))?;
        if version != STATELESS {
            return Err(Error::unknown_version(version));
        }
        match meta.and_then(|meta| meta.get(CAPABILITIES)) {
            Some(Value::Object(_)) => Ok(Era::Stateless),
            _ => Err(Error::invalid_params(format!("`_meta` lacks `{CAPABILITIES}`, an object"))),
        }
    }

    /// What the client calls itself, in this request.
    pub fn client(&self) -> Option<String> {
        name_of(self.meta()?.get(CLIENT))
    }

    fn meta(&self) -> Option<&Object> {
        self.params.get("_meta")?.as_object()
    }
}

impl Notification {
    /// The id of the request that it cancels.
    pub fn cancels(&self) -> Option<&Value> {
        (self.method == "notifications/cancelled").then(|| self.params.get("requestId"))?
    }
}

/// The name in an `Implementation` of the schema.
pub fn name_of(implementation: Option<&Value>) -> Option<String> {
    Some(implementation?.get("name")?.as_str()?.to_owned())
}

/// The answer `result` to the request `id`.
pub fn answer(id: &Value, result: Object) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

/// The answer `error` to the request `id`, if that is known.
pub fn refusal(id: Option<&Value>, error: Error) -> Value {
    let Error { code, message, data } = error;
    let mut answer = json!({ "jsonrpc": "2.0", "error": { "code": code, "message": message } });
    if let Some(data) = data {
        answer["error"]["data"] = data;
    }
    if let Some(id) = id {
        answer["id"] = id.clone();
    }
    answer
}

/// The longest id that is looked for in a line that is not kept, in bytes.
const ID_BYTES_MAX: usize = 1 << 10;

/// Looks for the id of a message that is too long, or too deep, to be kept: the field `id` of the outermost object.
#[derive(Debug, Default)]
pub struct IdScan {
    depth: usize,
    in_text: bool,
    is_escaped: bool,
    /// The field's name or its value, as written, if it is short and has no children.
    token: Vec<u8>,
    is_id: bool,
    id: Option<Value>,
}

impl IdScan {
    /// Takes the next bytes of the message.
    pub fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let is_outermost = self.depth == 1;
            if self.in_text {
                match (self.is_escaped, byte) {
                    (true, _) => self.is_escaped = false,
                    (false, b'\\') => self.is_escaped = true,
                    (false, byte) => self.in_text = *byte != b'"',
                }
                self.keep(*byte, is_outermost);
                continue;
            }
            match byte {
                b'{' | b'[' => {
                    self.depth += 1;
                    self.token.clear();
                }
                b':' if is_outermost => {
                    self.is_id = self.token.trim_ascii() == b"\"id\"";
                    self.token.clear();
                }
                b',' | b'}' | b']' => {
                    if is_outermost {
                        self.end_of_value();
                    }
                    self.depth = self.depth.saturating_sub(usize::from(*byte != b','));
                }
                byte => {
                    self.in_text = *byte == b'"';
                    self.keep(*byte, is_outermost);
                }
            }
        }
    }

    /// The id that was found.
    pub fn id(self) -> Option<Value> {
        self.id
    }

    fn keep(&mut self, byte: u8, is_outermost: bool) {
        if is_outermost && self.token.len() <= ID_BYTES_MAX {
            self.token.push(byte);
        }
    }

    fn end_of_value(&mut self) {
        if std::mem::take(&mut self.is_id) && self.token.len() <= ID_BYTES_MAX {
            self.id = serde_json::from_slice(&self.token).ok().filter(is_id);
        }
        self.token.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid(line: &str) -> (Option<Value>, i32) {
        match message(line.as_bytes()) {
            Message::Invalid(id, error) => (id, error.code),
            other => panic!("{line} is {other:?}"),
        }
    }

    #[test]
    fn what_is_no_message_gets_the_code_of_json_rpc() {
        for (line, id, code) in [
            ("", None, -32700),
            ("{", None, -32700),
            ("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"", None, -32700),
            ("7", None, -32600),
            ("[]", None, -32600),
            ("{}", None, -32600),
            (r#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#, Some(json!(7)), -32600),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, None, -32600),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, None, -32600),
            (r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#, None, -32600),
            (r#"{"jsonrpc":"2.0","id":"a","method":7}"#, Some(json!("a")), -32600),
            (r#"{"jsonrpc":"2.0","id":"a"}"#, Some(json!("a")), -32600),
            (r#"{"jsonrpc":"2.0","id":"a","method":"m","params":[1]}"#, Some(json!("a")), -32602),
        ] {
            assert_eq!(invalid(line), (id, code), "{line}");
        }
        let deep =
            format!(r#"{{"jsonrpc":"2.0","id":7,"method":"m","params":{}}}"#, "[".repeat(4000) + &"]".repeat(4000));
        assert_eq!(invalid(&deep), (Some(json!(7)), -32700));
        let response = message(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        assert_eq!(response, Message::Response);
        let marked = message("\u{feff}{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":7}".as_bytes());
        assert!(matches!(marked, Message::Notification(it) if it.params.is_empty()));
    }

    #[test]
    fn the_id_of_a_message_that_is_not_kept_is_found() {
        let id = |text: &str| {
            let mut scan = IdScan::default();
            text.as_bytes().chunks(3).for_each(|bytes| scan.feed(bytes));
            scan.id()
        };
        for (text, wanted) in [
            (r#"{"id": 7 ,"params":{"id":8}}"#, Some(json!(7))),
            (r#"{"params":{"id":8},"id":"a\"b,}"}"#, Some(json!("a\"b,}"))),
            (r#"{"a":"\"id\":1","id":null}"#, None),
            (r#"{"id":{"x":1}}"#, None),
            (r#"{"id":[1,2]}"#, None),
            (r#"{"x":[{"id":1}]}"#, None),
            (r#"{"id":1,"id":2}"#, Some(json!(2))),
            (r#"[{"id":1}]"#, None),
            ("}}}]]{", None),
        ] {
            assert_eq!(id(text), wanted, "{text}");
        }
        assert_eq!(id(&format!(r#"{{"id":"{}"}}"#, "x".repeat(ID_BYTES_MAX))), None);
    }

    #[test]
    fn a_request_is_of_the_revision_that_it_names() {
        let request = |params: Value| match message(
            json!({ "jsonrpc": "2.0", "id": 1, "method": "m", "params": params }).to_string().as_bytes(),
        ) {
            Message::Request(request) => request,
            other => panic!("{other:?}"),
        };
        let meta = |version: Value| request(json!({ "_meta": { VERSION: version, CAPABILITIES: {} } }));
        let code = |found: Result<Era, Error>| found.map_err(|error| error.code);
        assert_eq!(code(meta(json!(STATELESS)).era(None)), Ok(Era::Stateless));
        assert_eq!(code(meta(json!(STATELESS)).era(Some(BATCHES))), Ok(Era::Stateless));
        assert_eq!(code(request(json!({})).era(Some(BATCHES))), Ok(Era::Handshake(BATCHES)));
        assert_eq!(
            code(request(json!({ "_meta": { "progressToken": 1 } })).era(Some(BATCHES))),
            Ok(Era::Handshake(BATCHES))
        );
        assert_eq!(code(request(json!({})).era(None)), Err(-32602));
        assert_eq!(code(request(json!({ "_meta": 7 })).era(None)), Err(-32602));
        assert_eq!(code(meta(json!(7)).era(None)), Err(-32602));
        assert_eq!(code(meta(json!("2025-11-25")).era(None)), Err(-32022));
        assert_eq!(code(request(json!({ "_meta": { VERSION: STATELESS } })).era(None)), Err(-32602));
        let error = meta(json!("1900-01-01")).era(None).expect_err("unknown");
        assert_eq!(error.data, Some(json!({ "supported": [STATELESS], "requested": "1900-01-01" })));
    }
}
