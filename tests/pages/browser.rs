//! Chromium without a screen, driven by the DevTools protocol over its pipe: a JSON message, a zero
//! byte. Rejected: a crate for it (headless_chrome, chromiumoxide), which bring a runtime or a
//! WebSocket for what is one pipe and six methods.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// Debian's package, and its program.
const CHROMIUM: &str = "chromium";

/// Why pages cannot be opened here, if they cannot.
pub fn missing() -> Option<String> {
    let version = Command::new(CHROMIUM).arg("--version").output();
    let runs = version.is_ok_and(|version| version.status.success());
    (!runs).then(|| format!("the host has no {CHROMIUM} (Debian's package of that name)"))
}

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    profile: std::path::PathBuf,
    session: Option<String>,
    last: u64,
    /// What the page has complained about, and asked for.
    problems: Vec<String>,
    /// Events that have come, by method.
    events: Vec<String>,
    /// The page's own address.
    address: String,
}

impl Browser {
    /// Opens the page in this file, in a window of this width.
    pub fn open(path: &Path, width: u32) -> Self {
        let profile = path.with_extension("profile");
        // Its pipe is descriptors 3 and 4, which are our ends of its standard streams.
        let script = r#"exec "$0" "$@" 3<&0 4>&1 >/dev/null </dev/null"#;
        let mut child = Command::new("sh")
            .args([
                "-c",
                script,
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
            ])
            .args([
                "--remote-debugging-pipe",
                "--no-first-run",
                "--disable-dev-shm-usage",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let mut browser = Self {
            child,
            to: to.expect("a pipe"),
            from: BufReader::new(from.expect("a pipe")),
            profile,
            session: None,
            last: 0,
            problems: Vec::new(),
            events: Vec::new(),
            address: format!("file://{}", path.display()),
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.resize(width);
        let url = browser.address.clone();
        browser.call("Page.navigate", json!({ "url": url }));
        while !browser
            .events
            .iter()
            .any(|event| event == "Page.loadEventFired")
        {
            let message = browser.receive();
            browser.note(&message);
        }
        browser
    }

    /// Makes the window this wide.
    pub fn resize(&mut self, width: u32) {
        let metrics =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// What a JavaScript expression is, which may be a promise.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", parameters);
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}: {result:#}"
        );
        result["result"]["value"].clone()
    }

    /// Types a key, as in `Enter`.
    pub fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let text = match key {
                _ if kind == "keyUp" => "",
                "Enter" => "\r",
                key if key.len() == 1 => key,
                _ => "",
            };
            let event = json!({ "type": kind, "key": key, "code": key, "text": text });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Clicks at a place of the window: a list of x and y.
    pub fn click(&mut self, place: &Value) {
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1,
            });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Asserts that the page has complained of nothing and asked nobody for anything.
    #[track_caller]
    pub fn assert_quiet(&mut self) {
        // What it has done until now is told before the answer.
        self.value("0");
        assert!(
            self.problems.is_empty(),
            "{}: {:#?}",
            self.address,
            self.problems
        );
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let text = format!("{message}\0");
        self.to
            .write_all(text.as_bytes())
            .expect("the browser runs");
        loop {
            let mut message = self.receive();
            if message["id"] == self.last {
                assert!(message["error"].is_null(), "{method}: {message:#}");
                return message["result"].take();
            }
            self.note(&message);
        }
    }

    fn receive(&mut self) -> Value {
        let mut text = Vec::new();
        self.from
            .read_until(0, &mut text)
            .expect("the browser runs");
        assert_eq!(text.pop(), Some(0), "the browser has ended");
        serde_json::from_slice(&text).expect("messages are JSON")
    }

    fn note(&mut self, event: &Value) {
        let method = event["method"].as_str().unwrap_or_default();
        let parameters = &event["params"];
        match method {
            "Log.entryAdded" | "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" => {
                self.problems.push(parameters.to_string());
            }
            "Network.requestWillBeSent" if parameters["request"]["url"] != *self.address => {
                self.problems.push(parameters.to_string());
            }
            _ => {}
        }
        self.events.push(method.to_owned());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
