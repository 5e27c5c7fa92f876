//! The monitor as a client on a real loopback socket sees it: its routes, and what no client can do to it.
//!
//! Server and clients share one thread and one `LocalSet`; large bodies are rendered on another. Each test waits for bytes or
//! for the end of a connection, under one deadline.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cluster2::ecv::guard::{Guard, Token};
use cluster2::ecv::{Change, Rotation};
use cluster2::event::Exit;
use cluster2::event::{Event, MonitorRequest};
use cluster2::ids::{SlotIndex, WorkerId};
use cluster2::monitor::data::health;
use cluster2::monitor::data::stats::{Address, ClusterState, ShownOptions, Stats, Worker, WorkerState};
use cluster2::monitor::limits::Limits;
use cluster2::monitor::rules::Rules;
use cluster2::monitor::server::{bind, serve};
use cluster2::monitor::site::Site;
use cluster2::monitor::source::{Order, Ordered, Source};
use cluster2::options::{Ecv, Monitor};
use cluster2::tasks::LocalTasks;
use cluster2::timestamp::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(30);
const NASTY: &str = "<script>alert('x')</script>\"&\u{1b}[2J";

fn stats() -> Stats {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let started = Timestamp::now().with_time(time);
    let options = ShownOptions {
        no_workers: 2,
        ports: vec!["3000".into(), NASTY.into()],
        monitor: "127.0.0.1:3001".parse().ok(),
        ..ShownOptions::default()
    };
    let mut stats = Stats::new(4000, started, options);
    let worker = |id: u32, state, ready_at| Worker {
        slot: Some(SlotIndex(u16::try_from(id - 1).unwrap())),
        state,
        ready_at,
        listening: u32::from(ready_at.is_some()),
        restarts: u64::from(id > 2),
        ..Worker::new(WorkerId(id), 4000 + id, started)
    };
    stats.state = ClusterState::Serving;
    stats.workers =
        vec![worker(1, WorkerState::Serving, Some(started)), worker(3, WorkerState::Starting, None)];
    stats.addresses =
        vec![Address::Ip("127.0.0.1:3000".parse().unwrap()), Address::Path(PathBuf::from(NASTY))];
    for (id, pid) in [(1, 4001), (2, 4002), (3, 4003)] {
        stats.note(&Event::Forked { worker: WorkerId(id), pid }, time);
    }
    let (worker, exit) = (WorkerId(2), Exit::Code(1));
    let facts = json!({ "row": null, "requests": [{ "method": "GET", "path": NASTY, "ms": 5200.0 }] });
    stats.note(&Event::Died { worker, pid: 4002, exit, reason: NASTY.into(), facts }, time);
    stats
}

/// A cluster that can be taken out of rotation; everything else of it stands still.
#[derive(Default)]
struct Cluster {
    rotation: Mutex<Rotation>,
    revision: AtomicU64,
}

impl Source for Cluster {
    fn stats(&self) -> Stats {
        Stats { rotation: self.rotation.lock().unwrap().clone(), ..stats() }
    }

    fn rotate(&self, disabled: bool, change: Change) {
        self.rotation.lock().unwrap().set(disabled, change);
        self.revision.fetch_add(1, Ordering::SeqCst);
    }

    fn revision(&self) -> u64 {
        self.revision.load(Ordering::SeqCst)
    }

    fn order(&self, order: Order) -> Ordered {
        let (answer, to_come) = oneshot::channel();
        let told = json!({ "ok": true, "call": order.call, "args": order.args, "by": order.by });
        answer.send(told.to_string().into()).unwrap();
        Box::pin(async { Some(to_come) })
    }

    fn app_metrics(&self) -> Arc<str> {
        "# TYPE orders_total counter\norders_total 7\n".into()
    }

    /// JavaScript has ended.
    fn ask(&self, _: MonitorRequest) {}
}

fn rules(mon_path: &str) -> Rules {
    let guard =
        Guard { from: vec!["127.0.0.0/8".parse().unwrap()], token: Some(Token::new("s3cret".into())) };
    let ecv = Ecv { control: true, guard, ..Ecv::default() };
    let limits = health::Limits { live_max_age: Duration::from_secs(30), ready_quorum: 1 };
    Rules {
        mon_path: mon_path.into(),
        monitor: Monitor::default(),
        ecv: Some(ecv),
        limits,
        logs: PathBuf::from("nowhere"),
        log: None,
        dir: None,
        has_app: false,
    }
}

/// Runs `test` against a monitor with these limits, whose page is at `mon_path`.
async fn monitor(mon_path: &str, limits: Limits, test: impl AsyncFnOnce(SocketAddr)) {
    monitor_with(rules(mon_path), limits, test).await;
}

async fn monitor_with(rules: Rules, limits: Limits, test: impl AsyncFnOnce(SocketAddr)) {
    let listener = bind("127.0.0.1", 0).unwrap();
    let address = listener.local_addr().unwrap();
    let site = Arc::new(Site::new(rules, Cluster::default()));
    let run = async {
        let server = LocalTasks::default();
        server.spawn(serve(limits, listener, site, std::future::pending()));
        test(address).await;
    };
    timeout(DEADLINE, LocalSet::new().run_until(run)).await.expect("the monitor answers in time");
}

/// Sends bytes and reads until the server closes; an abort by the server ends the reading like a close.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // A server that has seen enough closes while we still write; its answer is what counts.
    let _ = socket.write_all(request).await;
    rest(&mut socket).await
}

async fn rest(socket: &mut TcpStream) -> String {
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = socket.read(&mut part).await {
        answer.extend_from_slice(&part[..length]);
    }
    String::from_utf8(answer).unwrap()
}

async fn ask(address: SocketAddr, method: &str, path: &str, accept: &str) -> (String, String) {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    let answer = exchange(address, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    (head.to_owned(), body.to_owned())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.into_iter().find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn the_page_shows_the_cluster_and_loads_nothing() {
    monitor("/", Limits::default(), async |address| {
        let (head, body) = ask(address, "GET", "/", "text/html,*/*;q=0.8").await;
        assert_eq!((status(&head), header(&head, "content-type")), ("200", Some("text/html; charset=utf-8")));
        for shown in [
            "<title>Runtime Monitor</title>",
            "<strong data-cell=\"workers\" class=\"fair\">1 of 2</strong>",
            "4001",
            "4003",
            "2023-11-14 22:13:20 UTC",
        ] {
            assert!(body.contains(shown), "{shown} is missing in {body}");
        }
        let policy = header(&head, "content-security-policy").unwrap();
        let nonce = body.split("<style nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        for foreign in ["src=", "href=\"http", "//cdn", "<img", "style=", "onclick="] {
            assert!(!body.contains(foreign), "{foreign} in {body}");
        }
        assert_eq!(body.matches("<link").count(), 1, "the icon, which is part of the page");
        assert_eq!(body.matches(&format!("<script nonce=\"{nonce}\">")).count(), 1);
        assert!(
            policy.starts_with("default-src 'none';") && policy.contains(&format!("'nonce-{nonce}'")),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
    })
    .await;
}

#[tokio::test]
async fn text_from_outside_is_escaped_on_the_page() {
    monitor("/", Limits::default(), async |address| {
        let (_, body) = ask(address, "GET", "/", "*/*").await;
        let escaped = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;\u{fffd}[2J";
        assert_eq!(body.matches(escaped).count(), 3, "the address, the reason and a lost request: {body}");
        assert!(!body.contains("alert('"));
    })
    .await;
}

#[tokio::test]
async fn json_has_the_fields_of_the_original_and_ours() {
    monitor("/", Limits::default(), async |address| {
        let (head, body) = ask(address, "GET", "/", "application/json, */*").await;
        assert_eq!((status(&head), header(&head, "content-type")), ("200", Some("application/json")));
        let all: Value = serde_json::from_str(&body).unwrap();
        let master = &all["master"];
        assert_eq!(master["workers"], json!({ "4001": { "4001": 1 }, "4003": { "4003": 0 } }));
        assert_eq!([&master["noWorkers"], &master["workersKilled"], &master["pid"]], [2, 1, 4000]);
        assert_eq!(master["start"], "2023-11-14T22:13:20.123Z");
        assert_eq!(master["address"], json!({ "address": "127.0.0.1", "family": "IPv4", "port": 3001 }));
        for field in ["hostname", "os", "coresUsed"] {
            assert!(master[field].is_string(), "{field} in {master}");
        }
        assert_eq!(
            [&all["state"], &all["wanted"], &all["serving"]],
            [&json!("serving"), &json!(2), &json!(1)]
        );
        assert_eq!(
            all["workers"][1],
            json!({
                "id": 3, "pid": 4003, "slot": 2, "state": "starting", "since": "2023-11-14T22:13:20.123Z",
                "forkedAt": "2023-11-14T22:13:20.123Z", "readyAt": null, "generation": 0, "listening": 0,
                "restarts": 1, "loopAgeMs": null, "figures": null,
            })
        );
        assert_eq!(all["events"][3]["text"], format!("worker 2: {NASTY}"));
        assert_eq!(all["events"][3]["requests"], json!([{ "method": "GET", "path": NASTY, "ms": 5200 }]));
        assert_eq!([&all["ready"]["ready"], &all["figures"]], [&json!(true), &Value::Null]);
        assert_eq!(all["look"]["everyMs"], 2000);
        assert!(all["host"]["cores"].as_u64() > Some(0));
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn figures_of_the_machine_have_the_originals_forms() {
    monitor("/", Limits::default(), async |address| {
        let (_, body) = ask(address, "GET", "/status.json", "*/*").await;
        let all: Value = serde_json::from_str(&body).unwrap();
        let master = &all["master"];
        let text =
            |field: &str| master[field].as_str().unwrap_or_else(|| panic!("{field} in {master}")).to_owned();
        let total = master["totalmem"].as_u64().unwrap();
        assert!(master["freemem"].as_u64().unwrap() <= total);
        assert_eq!(text("totalMem"), format!("{total}.000"));
        assert!(text("os").starts_with("Linux "));
        assert_eq!(text("averageLoad").split(' ').filter_map(|part| part.parse::<f64>().ok()).count(), 3);
        assert!(text("memoryUsageAtBoot").contains(" MB of ") && text("memoryUsageAtBoot").ends_with(" MB"));
        assert!((0.0..=100.0).contains(&text("hostCpu").parse::<f64>().unwrap()));
        assert!(master["currentMemoryUsage"].as_f64().unwrap() > 0.0);
    })
    .await;
}

#[tokio::test]
async fn every_route_gives_its_status_and_the_headers_of_all() {
    let table = [
        ("/mon", "GET", "/mon", "200"),
        ("/mon", "GET", "/mon/", "200"),
        ("/mon", "GET", "/mon?x=/nothing", "200"),
        ("/mon", "GET", "http://other/mon", "200"),
        ("/mon/", "GET", "/mon", "200"),
        ("/mon", "GET", "/", "404"),
        ("/mon", "GET", "/monitor", "404"),
        ("/mon", "GET", "/mon//", "404"),
        ("/mon", "GET", "/MON", "404"),
        ("/mon", "DELETE", "/nothing", "404"),
        ("/mon", "OPTIONS", "*", "404"),
        ("/mon", "GET", "/status.json", "200"),
        ("/mon", "POST", "/status.json", "405"),
        ("/mon", "BREW", "/mon", "405"),
        ("/", "GET", "/", "200"),
        ("/", "GET", "/?", "200"),
        ("/", "PUT", "/", "405"),
        ("/", "GET", "/%3cscript%3e", "404"),
        ("/", "GET", "/../status.json", "404"),
        ("/", "CONNECT", "host:80", "405"),
    ];
    for (mon_path, method, path, expected) in table {
        monitor(mon_path, Limits::default(), async |address| {
            let (head, body) = ask(address, method, path, "*/*").await;
            assert_eq!(status(&head), expected, "{method} {path} with the page at {mon_path}: {head}");
            assert!(expected == "200" || !body.contains("script"), "{path} is repeated: {body}");
            assert_eq!(header(&head, "allow"), (expected == "405").then_some("GET, HEAD"));
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(header(&head, name), Some(value), "{method} {path}");
            }
            assert!(
                header(&head, "content-security-policy")
                    .is_some_and(|it| it.starts_with("default-src 'none'"))
            );
        })
        .await;
    }
}

#[tokio::test]
async fn head_gives_what_get_gives_but_for_the_body() {
    monitor("/", Limits::default(), async |address| {
        for (path, accept) in
            [("/", "*/*"), ("/", "application/json"), ("/status.json", "*/*"), ("/none", "*/*")]
        {
            let (get, body) = ask(address, "GET", path, accept).await;
            let (head, nothing) = ask(address, "HEAD", path, accept).await;
            assert_eq!((status(&head), nothing.as_str()), (status(&get), ""));
            assert_eq!(header(&head, "content-type"), header(&get, "content-type"));
            assert_eq!(header(&get, "content-length"), Some(body.len().to_string().as_str()));
            assert!(header(&head, "content-length").is_some(), "{head}");
        }
    })
    .await;
}

#[tokio::test]
async fn one_connection_serves_many_requests_and_half_closed_ones_are_answered() {
    monitor("/", Limits::default(), async |address| {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(&b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3)).await.unwrap();
        socket.shutdown().await.unwrap();
        assert_eq!(rest(&mut socket).await.matches("HTTP/1.1 404 ").count(), 3);
    })
    .await;
}

#[tokio::test]
async fn heads_may_be_large_but_not_huge() {
    monitor("/", Limits::default(), async |address| {
        let with = |size: usize| {
            format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: {}\r\n\r\n", "a".repeat(size))
        };
        assert_eq!(status(&exchange(address, with(12 * 1024).as_bytes()).await), "200");
        for huge in [17 * 1024, 1024 * 1024] {
            let answer = exchange(address, with(huge).as_bytes()).await;
            // A client that is still sending may see the connection reset before it reads why.
            assert!(["431", ""].contains(&status(&answer)), "{answer}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000));
        assert!(["431", ""].contains(&status(&exchange(address, many.as_bytes()).await)));
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000));
        assert!(["414", "431", ""].contains(&status(&exchange(address, long.as_bytes()).await)));
        assert_eq!(status(&ask(address, "GET", "/", "*/*").await.0), "200");
    })
    .await;
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_ends_the_connection() {
    let limits = Limits { head_time: Duration::from_millis(50), ..Limits::default() };
    monitor("/", limits, async |address| {
        for start in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n"] {
            assert_eq!(exchange(address, start.as_bytes()).await, "", "{start}");
        }
        let kept = exchange(address, b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(kept.starts_with("HTTP/1.1 404"), "a connection that was kept for more is ended too: {kept}");

        let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
        let drip = async {
            while writer.write_all(b"a").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let end = async { while let Ok(1..) = reader.read(&mut [0; 64]).await {} };
        tokio::select! { () = drip => {}, () = end => {} }
    })
    .await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_moves_is_ended() {
    let limits = Limits { idle_time: Duration::from_millis(50), ..Limits::default() };
    monitor("/", limits, async |address| {
        assert_eq!(exchange(address, b"").await, "");
        let unfinished = b"GET /none HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nbody";
        assert!(exchange(address, unfinished).await.starts_with("HTTP/1.1 404"));
    })
    .await;
}

#[tokio::test]
async fn two_thousand_silent_connections_keep_nobody_out() {
    monitor("/", Limits::default(), async |address| {
        let mut known = TcpStream::connect(address).await.unwrap();
        known.write_all(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert_ne!(known.read(&mut [0; 4096]).await.unwrap(), 0);

        let mut silent = Vec::new();
        while silent.len() < 2000 {
            // Both ends of each connection are in this process, which may not be allowed that many.
            let Ok(socket) = TcpStream::connect(address).await else {
                silent.truncate(silent.len().saturating_sub(20));
                break;
            };
            silent.push(socket);
        }
        for _ in 0..20 {
            assert_eq!(status(&ask(address, "GET", "/status.json", "*/*").await.0), "200");
        }
        known.write_all(b"GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(rest(&mut known).await.starts_with("HTTP/1.1 404"), "one that had asked before was kept");
        let mut open = 0;
        for socket in &silent {
            let read = socket.try_read(&mut [0; 1]);
            open += usize::from(matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock));
        }
        assert!(open <= Limits::default().connections + Limits::default().for_health, "{open} are open");
    })
    .await;
}

#[tokio::test]
async fn malformed_requests_end_their_own_connection_only() {
    let mut noise: Vec<u8> = (0..=255).cycle().take(4096).collect();
    let mut requests: Vec<Vec<u8>> = [
        &b"\r\n\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
        b"GET \xff\xfe HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nAccept: \xff\xff\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET http://[::1/ HTTP/1.1\r\n\r\n",
        b"GET //// HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade, close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    for turn in 0..64 {
        noise.rotate_left(61 * turn);
        requests.push(noise[..=64 * turn].to_vec());
    }
    let limits = Limits {
        head_time: Duration::from_millis(20),
        idle_time: Duration::from_millis(40),
        ..Limits::default()
    };
    monitor("/", limits, async |address| {
        for request in &requests {
            let answer = exchange(address, request).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1."), "{request:?}: {answer}");
            assert!(!answer.starts_with("HTTP/1.1 5"), "{request:?}: {answer}");
        }
        assert_eq!(status(&ask(address, "GET", "/live", "*/*").await.0), "200");
    })
    .await;
}

#[test]
fn a_port_that_is_busy_or_a_name_that_is_unknown_is_an_error_at_once() {
    let holder = bind("127.0.0.1", 0).unwrap();
    let port = holder.local_addr().unwrap().port();
    assert_eq!(bind("127.0.0.1", port).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert_eq!(bind("0.0.0.0", port).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    drop(holder);
    assert!(bind("127.0.0.1", port).is_ok(), "a port is free again at once");
    assert!(bind("localhost", 0).is_ok());
    assert!(bind("not a host", 0).is_err());
    assert!(bind("", 0).is_err());
}

#[tokio::test]
async fn the_health_paths_answer_in_words_and_status() {
    monitor("/live", Limits::default(), async |address| {
        let (head, body) = ask(address, "GET", "/ecv", "*/*").await;
        assert_eq!((status(&head), header(&head, "content-type")), ("200", Some("text/plain")));
        assert!(body.starts_with("status=AVAILABLE&ServeTraffic=true&ip=127.0.0.1&hostname="), "{body}");
        assert!(body.contains("&port=3000&time="), "{body}");
        for (name, value) in [
            ("cache-control", "no-cache"),
            ("x-powered-by", "Cluster2"),
            ("connection", "close"),
            ("since", "Tue Nov 14 2023 22:13:20 GMT+0000 (UTC)"),
        ] {
            assert_eq!(header(&head, name), Some(value));
        }
        let (head, body) = ask(address, "HEAD", "/ecv/?x", "*/*").await;
        assert_eq!((status(&head), body.as_str()), ("200", ""));
        // The health paths come first, whatever `monPath` says.
        let (head, body) = ask(address, "GET", "/ready", "*/*").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status(&head), &body["ready"]), ("200", &json!(true)));
        let (head, body) = ask(address, "GET", "/live", "text/html").await;
        assert_eq!((status(&head), header(&head, "content-type")), ("200", Some("application/json")));
        assert!(body.starts_with("{\"live\":true"), "{body}");
    })
    .await;
}

#[tokio::test]
async fn only_who_may_takes_the_cluster_out_of_rotation() {
    monitor("/", Limits::default(), async |address| {
        let post = async |path: &str, token: &str| {
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{token}Content-Length: 0\r\n\r\n"
            );
            exchange(address, request.as_bytes()).await
        };
        for wrong in ["", "Authorization: Bearer wrong\r\n"] {
            let answer = post("/ecv/disable", wrong).await;
            assert!(
                answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("\r\n\r\nForbidden\n"),
                "{answer}"
            );
        }
        assert_eq!(status(&ask(address, "GET", "/ecv", "*/*").await.0), "200");
        let right = "Authorization: Bearer s3cret\r\n";
        let answer = post("/ecv/disable?reason=%3Cscript%3Enew+disk", right).await;
        assert!(answer.starts_with("HTTP/1.1 204 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        let (head, body) = ask(address, "GET", "/ecv", "*/*").await;
        assert_eq!(status(&head), "400");
        assert!(body.starts_with("status=DISABLED&ServeTraffic=false&"), "{body}");
        let (head, body) = ask(address, "GET", "/ready", "*/*").await;
        assert_eq!(status(&head), "503");
        assert!(
            body.contains("it is disabled by POST from 127.0.0.1 to the monitor: <script>new disk"),
            "{body}"
        );
        let (_, page) = ask(address, "GET", "/", "text/html").await;
        assert!(
            page.contains(">disabled</strong>")
                && page.contains("by POST from 127.0.0.1 to the monitor")
                && page.contains("&lt;script&gt;new disk")
        );
        let (_, shown) = ask(address, "GET", "/status.json", "*/*").await;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(
            (&shown["ecv"]["enabled"], &shown["ecv"]["reason"]),
            (&json!(false), &json!("<script>new disk"))
        );
        assert!(post("/ecv/enable", right).await.starts_with("HTTP/1.1 204 "));
        assert_eq!(status(&ask(address, "GET", "/ecv", "*/*").await.0), "200");
        assert_eq!(status(&ask(address, "GET", "/ecv/disable", "*/*").await.0), "405");
    })
    .await;
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_liked_best() {
    monitor("/", Limits::default(), async |address| {
        let (head, body) = ask(address, "GET", "/metrics", "*/*").await;
        let plain = Some("text/plain; version=0.0.4; charset=utf-8");
        assert_eq!((status(&head), header(&head, "content-type")), ("200", plain));
        assert!(body.contains("\ncluster2_live 1\n") && body.ends_with("\norders_total 7\n"), "{body}");
        let (head, body) =
            ask(address, "GET", "/metrics", "application/openmetrics-text; version=1.0.0").await;
        let open = Some("application/openmetrics-text; version=1.0.0; charset=utf-8");
        assert_eq!(header(&head, "content-type"), open);
        assert!(
            body.contains("# TYPE orders counter\norders_total 7\n") && body.ends_with("# EOF\n"),
            "{body}"
        );
    })
    .await;
}

/// Sends a form with these further headers, each with its line end.
async fn post(address: SocketAddr, path: &str, headers: &str, form: &str) -> (String, String) {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let answer = exchange(address, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    (head.to_owned(), body.to_owned())
}

fn with_token(control: bool) -> Rules {
    Rules { monitor: Monitor { control, token: Some(Token::new("s3cret".into())) }, ..rules("/") }
}

const BEARER: &str = "Authorization: Bearer s3cret\r\n";

#[tokio::test]
async fn with_a_token_everything_but_health_asks_for_it() {
    monitor_with(with_token(false), Limits::default(), async |address| {
        for path in ["/", "/status.json", "/status.stream", "/logs", "/deps", "/nothing"] {
            let (head, body) = ask(address, "GET", path, "*/*").await;
            assert_eq!(status(&head), "401", "{path}: {head}");
            assert!(header(&head, "www-authenticate").is_some_and(|it| it.starts_with("Basic ")), "{head}");
            assert!(!body.contains("4001"), "{body}");
        }
        for path in ["/live", "/ready", "/metrics", "/ecv"] {
            assert_eq!(status(&ask(address, "GET", path, "*/*").await.0), "200", "{path}");
        }
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{BEARER}\r\n");
        let answer = exchange(address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("<form"), "{answer}");
        for path in ["/control/enable", "/control/reload"] {
            assert_eq!(status(&post(address, path, BEARER, "").await.0), "404", "control is off");
        }
    })
    .await;
}

#[tokio::test]
async fn the_cluster_is_steered_by_those_who_bring_the_token_on_purpose() {
    monitor_with(with_token(true), Limits::default(), async |address| {
        let (head, body) = post(address, "/control/scale", BEARER, "workers=4&evil=1").await;
        assert_eq!((status(&head), header(&head, "content-type")), ("200", Some("application/json")));
        let ordered: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&ordered["call"], &ordered["args"]), (&json!("scale"), &json!({ "workers": 4 })));
        assert_eq!(ordered["by"], "the monitor's page, from 127.0.0.1");
        let basic = "Authorization: Basic OnMzY3JldA==\r\n";
        let refused = [
            ("", ""),
            ("", "token=wrong"),
            ("Authorization: Bearer wrong\r\n", ""),
            (basic, ""),
            ("Authorization: Basic OnMzY3JldA==\r\nOrigin: http://evil\r\n", ""),
            ("Authorization: Bearer s3cret\r\nOrigin: null\r\n", ""),
            ("Authorization: Bearer s3cret\r\nSec-Fetch-Site: cross-site\r\n", ""),
            ("Origin: http://evil\r\n", "token=s3cret"),
        ];
        for (headers, form) in refused {
            let (head, body) = post(address, "/control/disable", headers, form).await;
            assert_eq!((status(&head), body.as_str()), ("403", "Forbidden\n"), "{headers}{form}");
        }
        assert_eq!(status(&ask(address, "GET", "/ecv", "*/*").await.0), "200");
        let own = format!("{basic}Origin: http://ops\r\n");
        assert_eq!(status(&post(address, "/control/disable", &own, "reason=new+disk").await.0), "200");
        assert_eq!(status(&ask(address, "GET", "/ecv", "*/*").await.0), "400");
        let browser = format!("{own}Accept: text/html,*/*;q=0.8\r\n");
        let (head, _) = post(address, "/control/enable", &browser, "").await;
        assert_eq!((status(&head), header(&head, "location")), ("303", Some("../")));
        let long = format!("reason={}", "x".repeat(10_000));
        assert_eq!(status(&post(address, "/control/disable", BEARER, &long).await.0), "400");
        assert_eq!(status(&ask(address, "GET", "/ecv", "*/*").await.0), "200");
    })
    .await;
}

#[tokio::test]
async fn all_who_watch_are_told_of_a_change_at_once() {
    monitor_with(with_token(true), Limits::default(), async |address| {
        let mut streams = Vec::new();
        for _ in 0..50 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET /status.stream HTTP/1.1\r\nHost: x\r\n{BEARER}\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            streams.push(stream);
        }
        for stream in &mut streams {
            let heard = until(stream, "event: status").await;
            assert!(heard.contains("text/event-stream") && heard.contains("event: trends"), "{heard}");
        }
        assert_eq!(status(&post(address, "/control/disable", BEARER, "reason=disk").await.0), "200");
        for stream in &mut streams {
            until(stream, "[\"disabled\",\"poor\"]").await;
        }
        drop(streams);
        assert_eq!(status(&ask(address, "GET", "/ready", "*/*").await.0), "503");
    })
    .await;
}

#[tokio::test]
async fn at_the_end_answers_under_way_leave_and_everything_else_is_closed() {
    const SIZE: usize = 16 * 1024 * 1024;
    let logs = tempfile::tempdir().unwrap();
    std::fs::write(logs.path().join("large.log"), vec![b'x'; SIZE]).unwrap();
    let listener = bind("127.0.0.1", 0).unwrap();
    let address = listener.local_addr().unwrap();
    let site = Arc::new(Site::new(Rules { logs: logs.path().into(), ..rules("/") }, Cluster::default()));
    let (stop, stopped) = oneshot::channel::<()>();
    let end = async {
        let _ = stopped.await;
    };
    let server = Box::pin(serve(Limits::default(), listener, site, end));
    let client = async {
        let [mut idle, mut stream, mut reader] =
            [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap()).map(|socket| {
                socket.set_nonblocking(true).unwrap();
                TcpStream::from_std(socket).unwrap()
            });
        idle.write_all(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        until(&mut idle, "\"live\":true").await;
        stream.write_all(b"GET /status.stream HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        until(&mut stream, "event: status").await;
        reader.write_all(b"GET /logs/large.log HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let begun = until(&mut reader, "\r\n\r\n").await;
        stop.send(()).unwrap();
        for ended in [&mut idle, &mut stream] {
            rest(ended).await;
        }
        let (head, body) = begun.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {SIZE}")), "{head}");
        assert_eq!(body.len() + rest(&mut reader).await.len(), SIZE);
        assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
    };
    let both = async { tokio::join!(server, client) };
    let local = LocalSet::new();
    timeout(DEADLINE, Box::pin(local.run_until(both))).await.expect("the server ends in time");
}

#[test]
fn a_quarter_of_the_descriptors_at_most_is_for_clients() {
    for (descriptors, connections, first_short) in [(256, 64, 192), (1024, 256, 960), (20_000, 1024, 19_936)]
    {
        let limits = Limits::within(descriptors);
        assert_eq!(limits.connections + limits.for_health, connections, "of {descriptors}");
        assert_eq!(limits.descriptors, first_short, "of {descriptors}");
        assert!(limits.for_health >= connections / 32);
    }
    assert_eq!(Limits::within(usize::MAX).descriptors, i32::MAX);
    assert_eq!([20_000, 256].map(|most| Limits::within(most).share(64)), [64, 16]);
    let few = Limits::within(10);
    assert_eq!((few.connections + few.for_health, few.descriptors), (16, 8));
}

/// Reads until the text has come; what was read.
async fn until(socket: &mut TcpStream, text: &str) -> String {
    let (mut heard, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let length = socket.read(&mut part).await.unwrap();
        assert_ne!(length, 0, "the stream ended");
        heard.extend_from_slice(&part[..length]);
        let shown = String::from_utf8_lossy(&heard);
        if shown.contains(text) {
            return shown.into_owned();
        }
    }
}
