//! A git server on 127.0.0.1: `git http-backend` behind a small HTTP server of our own, which can ask for a password, hang, refuse,
//! or take a push and cut its answer.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What the server does with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// What git answers.
    #[default]
    Serve,
    /// What git answers, for who knows the password.
    Password,
    /// Nothing, for ever.
    Hang,
    /// This status.
    Status(u16),
    /// It serves, and does not send the answer to the next push.
    CutPush,
}

/// The server. It ends with the test's process.
pub struct HttpGit {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    answer: Mutex<Answer>,
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

/// The user `ada` with the password `s3cret`, as HTTP sends it.
const CREDENTIALS: &str = "Basic YWRhOnMzY3JldA==";

impl HttpGit {
    /// Serves the bare repositories in `root`.
    pub fn serve(root: &Path, answer: Answer) -> HttpGit {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        let (requests, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let shared = Arc::new(Shared { root: root.to_owned(), answer: Mutex::new(answer), requests, bytes });
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                std::thread::spawn(move || server.serve(stream));
            }
        });
        HttpGit { port, shared }
    }

    /// The address of the repository `name`.
    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// The address with the password in it.
    pub fn url_with_password(&self, name: &str) -> String {
        format!("http://ada:s3cret@127.0.0.1:{}/{name}", self.port)
    }

    pub fn answers(&self, answer: Answer) {
        *self.shared.answer.lock().expect("it is not poisoned") = answer;
    }

    /// How many requests have come since the last call, and how many bytes with them and in their answers.
    pub fn traffic(&self) -> (usize, usize) {
        (self.shared.requests.swap(0, Ordering::SeqCst), self.shared.bytes.swap(0, Ordering::SeqCst))
    }
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    fn read(stream: &TcpStream) -> io::Result<Request> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let (method, target) =
            (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut request =
            Request { method, path: path.to_owned(), query: query.to_owned(), headers: Vec::new(), body: Vec::new() };
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                request.headers.push((name.to_owned(), value.trim().to_owned()));
            }
        }
        if request.header("Expect").eq_ignore_ascii_case("100-continue") {
            (&*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if request.header("Transfer-Encoding").eq_ignore_ascii_case("chunked") {
            request.body = chunks(&mut reader)?;
        } else {
            let length = request.header("Content-Length").parse().unwrap_or(0);
            request.body.resize(length, 0);
            reader.read_exact(&mut request.body)?;
        }
        Ok(request)
    }
}

fn chunks(reader: &mut impl io::BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; length + 2];
        reader.read_exact(&mut chunk)?;
        if length == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&chunk[..length]);
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let Ok(request) = Request::read(&stream) else { return };
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.bytes.fetch_add(request.body.len(), Ordering::SeqCst);
        let answer = *self.answer.lock().expect("it is not poisoned");
        let is_push = request.method == "POST" && request.path.ends_with("/git-receive-pack");
        let status = |code: u16| {
            let asked = if code == 401 { "WWW-Authenticate: Basic realm=\"git\"\r\n" } else { "" };
            format!("HTTP/1.1 {code} Because\r\n{asked}Content-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
        };
        let response = match answer {
            Answer::Hang => loop {
                std::thread::park();
            },
            Answer::Status(code) => status(code),
            Answer::Password if request.header("Authorization") != CREDENTIALS => status(401),
            _ => self.backend(&request).unwrap_or_else(|_| status(500)),
        };
        if answer == Answer::CutPush && is_push {
            *self.answer.lock().expect("it is not poisoned") = Answer::Serve;
            return;
        }
        self.bytes.fetch_add(response.len(), Ordering::SeqCst);
        let _ = stream.write_all(&response);
    }

    /// What `git http-backend` answers.
    fn backend(&self, request: &Request) -> io::Result<Vec<u8>> {
        let mut command = Command::new("git");
        command.arg("http-backend").env_clear().env("GIT_PROJECT_ROOT", &self.root).env("GIT_HTTP_EXPORT_ALL", "1");
        command.envs(std::env::var_os("PATH").map(|value| ("PATH", value)));
        command.env("HOME", &self.root).env("REMOTE_USER", "ada").env("REMOTE_ADDR", "127.0.0.1");
        command.env("REQUEST_METHOD", &request.method).env("PATH_INFO", &request.path);
        command.env("QUERY_STRING", &request.query).env("CONTENT_TYPE", request.header("Content-Type"));
        command.env("CONTENT_LENGTH", request.body.len().to_string());
        command.env("HTTP_CONTENT_ENCODING", request.header("Content-Encoding"));
        command.env("GIT_PROTOCOL", request.header("Git-Protocol"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (mut input, body) = (child.stdin.take().expect("it was asked for"), request.body.clone());
        let feeder = std::thread::spawn(move || drop(input.write_all(&body)));
        let output = child.wait_with_output()?.stdout;
        let _ = feeder.join();
        let end = output.windows(4).position(|it| it == b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
        let (head, body) = (String::from_utf8_lossy(&output[..end]).into_owned(), &output[end + 4..]);
        let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK").to_owned();
        let head: Vec<&str> = head.lines().filter(|line| !line.starts_with("Status: ")).collect();
        let length = body.len();
        let mut response = format!(
            "HTTP/1.1 {status}\r\n{}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
            head.join("\r\n")
        )
        .into_bytes();
        response.extend_from_slice(body);
        Ok(response)
    }
}
