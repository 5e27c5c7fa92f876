//! Pid files and stopping from another process, with real processes.
//!
//! A second process is this same test program, run again with [`ROLE`] set: it becomes a master of the directory in
//! [`DIR`] and says so on its standard output. Each is killed and collected when its handle is dropped.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio, id};
use std::time::{Duration, Instant};

use cluster2::error::Error;
use cluster2::os::peer::Process;
use cluster2::process::control::client;
use cluster2::process::control::server::{self, ControlSocket, Request};
use cluster2::process::entry::Entry;
use cluster2::process::pidfile::{PidDir, clear_stale};
use cluster2::process::stop::{Outcome, Verb, stop_all};
use cluster2::process::verify::{Standing, examine};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};
use tempfile::TempDir;

const ROLE: &str = "CLUSTER2_TEST_ROLE";
const DIR: &str = "CLUSTER2_TEST_DIR";
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(60);

/// Not a test: what a second process does.
#[test]
fn helper_process() {
    let (Ok(role), Some(dir)) = (std::env::var(ROLE), std::env::var_os(DIR)) else { return };
    let dir = PidDir::open(Path::new(&dir), true).unwrap();
    // Ends with its standard input, hence with this process, as a real worker does.
    let mut worker = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    dir.worker_started(worker.id()).unwrap();
    let socket = if role == "silent" { None } else { Some(server::bind(&dir.control_path()).unwrap()) };
    let stdout = io::stdout();
    writeln!(stdout.lock(), "\nmaster with worker {}", worker.id()).unwrap();
    match socket {
        Some(socket) if role == "polite" || role == "undead" => serve_politely(socket, dir, role == "polite"),
        // A master whose thread hangs: it listens, but answers nobody.
        // (Its hold on the worker's input is kept aside: to wait for a child closes it.)
        socket => {
            let held = (worker.stdin.take(), socket);
            worker.wait().unwrap();
            drop(held);
        }
    }
}

fn serve_politely(socket: ControlSocket, dir: PidDir, has_end: bool) {
    run(async move {
        let dir = std::cell::RefCell::new(dir);
        let answer = async move |request: Request| match request.call.as_str() {
            "shutdown" => request.reply.send(json!({ "ok": true })),
            "stop" => {
                dir.borrow_mut().close();
                if has_end {
                    std::process::exit(7);
                }
            }
            _ => request.reply.refuse("unknown"),
        };
        server::serve(socket, answer).await.unwrap();
    });
}

/// Runs a future as the supervisor's thread would.
fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

/// A process of ours that does not outlive its test, and neither does its worker.
struct Running(Child, Option<Pid>);

impl Running {
    fn master(role: &str, dir: &Path) -> (Self, u32) {
        // The orphans of a master that dies come to us, to be collected, and not to an init that may not care.
        nix::sys::prctl::set_child_subreaper(true).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "helper_process", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, role).env(DIR, dir).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut running = Self(child, None);
        let worker: Option<u32> = lines
            .map_while(Result::ok)
            .find_map(|it| Some(it.split_once("with worker ")?.1.parse().unwrap()));
        let worker = worker.expect("the helper became a master");
        running.1 = Some(Pid::from_raw(worker.try_into().unwrap()));
        (running, worker)
    }

    fn innocent() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap(), None)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    fn status(&mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended and been collected already.
        let _ = self.0.kill();
        let _ = self.0.wait();
        if let Some(worker) = self.1 {
            // Without its master it ends by itself.
            let _ = waitpid(worker, None);
        }
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The pids of masters whose files prove that they live, in ascending order.
fn live_masters(dir: &Path) -> Vec<u32> {
    let is_live = |pid: &u32| examine(&Entry::Master(*pid).path(dir), *pid) == Standing::Live;
    let master = |name: &String| match Entry::parse(name) {
        Some(Entry::Master(pid)) => Some(pid),
        _ => None,
    };
    let mut pids: Vec<u32> = names(dir).iter().filter_map(master).filter(is_live).collect();
    pids.sort_unstable();
    pids
}

fn put(dir: &Path, name: &str, contents: &impl ToString) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, contents.to_string()).unwrap();
    path
}

/// A pid that is nobody's: of a process that has just been collected.
fn dead_pid() -> u32 {
    let mut child = Running(Command::new("true").spawn().unwrap(), None);
    child.status();
    child.pid()
}

fn stop(dir: &Path, patience: Duration) -> Outcome {
    stop_all(dir, Verb::Stop, patience).unwrap()
}

fn shutdown(dir: &Path, patience: Duration) -> Outcome {
    stop_all(dir, Verb::Shutdown, patience).unwrap()
}

#[test]
fn a_master_makes_its_directory_and_leaves_only_its_own_files_out_of_it() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("a/b/pids");
    let mut dir = PidDir::open(&path, true).unwrap();
    let master = format!("master.{}.pid", id());
    assert_eq!(fs::read_to_string(path.join(&master)).unwrap(), id().to_string());
    dir.worker_started(11).unwrap();
    dir.worker_started(22).unwrap();
    assert_eq!(fs::read_to_string(path.join("worker.22.pid")).unwrap(), "22");
    dir.worker_gone(11);
    dir.worker_gone(11);
    put(&path, "worker.33.pid", &33);
    dir.worker_gone(33);
    assert_eq!(names(&path), [master.clone(), "worker.22.pid".into(), "worker.33.pid".into()]);
    put(&path, "foo.txt", &"mine");
    let socket = server::bind(&dir.control_path()).unwrap();
    assert_eq!(dir.control_path(), fs::canonicalize(&path).unwrap().join(format!("master.{}.sock", id())));
    dir.close();
    dir.close();
    drop((dir, socket));
    assert_eq!(names(&path), ["foo.txt", "worker.33.pid"]);
}

#[test]
fn dropping_gives_the_place_up_and_a_removed_directory_is_no_trouble() {
    let home = TempDir::new().unwrap();
    drop(PidDir::open(home.path(), true).unwrap());
    assert!(names(home.path()).is_empty());
    let gone = home.path().join("gone");
    let dir = PidDir::open(&gone, true).unwrap();
    fs::remove_dir_all(&gone).unwrap();
    assert_eq!(dir.worker_started(5).unwrap_err().kind(), io::ErrorKind::NotFound);
    dir.worker_gone(5);
    drop(dir);
    assert!(!gone.exists());
}

#[test]
fn the_same_process_can_hold_a_directory_only_once() {
    let home = TempDir::new().unwrap();
    let first = PidDir::open(home.path(), true).unwrap();
    let second = PidDir::open(home.path(), true).unwrap_err();
    assert_eq!(second.code(), "ERR_CLUSTER2_PIDS");
    assert_eq!(names(home.path()), [format!("master.{}.pid", id())]);
    drop(first);
    PidDir::open(home.path(), true).unwrap();
}

#[test]
fn a_place_that_is_no_directory_is_an_error_with_a_code() {
    let home = TempDir::new().unwrap();
    let file = put(home.path(), "file", &"");
    for path in [&file, &file.join("below")] {
        assert_eq!(PidDir::open(path, true).unwrap_err().code(), "ERR_CLUSTER2_PIDS");
        assert_eq!(stop_all(path, Verb::Stop, SHORT).unwrap_err().code(), "ERR_CLUSTER2_PIDS");
    }
}

#[test]
fn a_start_clears_what_a_killed_master_left_and_nothing_else() {
    let home = TempDir::new().unwrap();
    let (mut master, _) = Running::master("mute", home.path());
    assert_eq!(names(home.path()).len(), 3);
    master.kill();
    let mut innocent = Running::innocent();
    put(home.path(), &format!("worker.{}.pid", innocent.pid()), &innocent.pid());
    put(home.path(), ".worker.77.pid.new", &"");
    let foreign = foreign_files(home.path());
    let unswept = PidDir::open(home.path(), false).unwrap();
    assert_eq!(names(home.path()).len(), foreign.len() + 6);
    drop(unswept);
    drop(PidDir::open(home.path(), true).unwrap());
    assert_eq!(names(home.path()), foreign);
    assert!(innocent.is_running());
}

/// Files that look more or less like ours, and are not.
fn foreign_files(dir: &Path) -> Vec<String> {
    let before = names(dir);
    put(dir, "foo.txt", &"x");
    put(dir, "master.12abc.pid", &12);
    put(dir, "master.0.pid", &0);
    put(dir, "master.-1.pid", &-1);
    put(dir, "master.5.pdf", &5);
    put(dir, "master.444.pid", &"garbage");
    put(dir, "master.445.pid", &1);
    put(dir, "worker.446.pid", &"446\n447");
    put(dir, "master.447.sock", &"no socket");
    symlink(dir.join("foo.txt"), dir.join("master.448.pid")).unwrap();
    symlink(dir.join("nowhere"), dir.join("worker.449.pid")).unwrap();
    fs::create_dir(dir.join("master.450.pid")).unwrap();
    nix::unistd::mkfifo(&dir.join("master.451.pid"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    names(dir).into_iter().filter(|it| !before.contains(it)).collect()
}

#[test]
fn two_masters_share_a_directory() {
    let home = TempDir::new().unwrap();
    let (first, first_worker) = Running::master("polite", home.path());
    put(home.path(), &format!("worker.{}.pid", dead_pid()), &dead_pid());
    let dead = dead_pid();
    put(home.path(), &format!("worker.{dead}.pid"), &dead);
    let (mut second, second_worker) = Running::master("mute", home.path());
    let mut pids = [first.pid(), second.pid()];
    pids.sort_unstable();
    assert_eq!(live_masters(home.path()), pids);
    assert!(!Entry::Worker(dead).path(home.path()).exists());
    assert!(Entry::Worker(first_worker).path(home.path()).exists());
    second.kill();
    // Its worker sees the end of its input and goes; only then is its file one of a dead process.
    wait_until(|| Process::open(second_worker).is_none());
    clear_stale(home.path()).unwrap();
    let first_files = [Entry::Master(first.pid()), Entry::Socket(first.pid()), Entry::Worker(first_worker)];
    assert!(first_files.iter().all(|it| it.path(home.path()).exists()));
    assert!(!Entry::Master(second.pid()).path(home.path()).exists());
    assert!(!Entry::Socket(second.pid()).path(home.path()).exists());
    assert!(!Entry::Worker(second_worker).path(home.path()).exists());
}

#[test]
fn masters_that_start_at_once_leave_each_other_their_files() {
    let home = TempDir::new().unwrap();
    let masters: Vec<_> = std::thread::scope(|scope| {
        let start = || Running::master("mute", home.path());
        let starting: Vec<_> = (0..6).map(|_| scope.spawn(start)).collect();
        starting.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for (master, worker) in &masters {
        for entry in [Entry::Master(master.pid()), Entry::Socket(master.pid()), Entry::Worker(*worker)] {
            assert!(entry.path(home.path()).exists(), "{entry:?}");
        }
    }
    assert_eq!(live_masters(home.path()).len(), masters.len());
    assert_eq!(names(home.path()).len(), 3 * masters.len());
}

#[test]
fn what_is_made_before_the_runtime_can_be_sent_to_it() {
    fn can_be_sent<T: Send>() {}
    can_be_sent::<PidDir>();
    can_be_sent::<ControlSocket>();
}

fn wait_until(condition: impl Fn() -> bool) {
    let until = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < until, "it did not come to pass");
        std::thread::yield_now();
    }
}

#[test]
fn a_directory_with_nobody_in_it_is_no_error() {
    let home = TempDir::new().unwrap();
    let missing = home.path().join("missing");
    for verb in [Verb::Stop, Verb::Shutdown] {
        assert_eq!(stop_all(&missing, verb, LONG).unwrap(), Outcome::default());
        assert_eq!(stop_all(home.path(), verb, LONG).unwrap(), Outcome::default());
    }
    assert!(!missing.exists());
}

#[test]
fn nobody_innocent_is_signalled_and_no_foreign_file_is_touched() {
    for verb in [Verb::Stop, Verb::Shutdown] {
        let home = TempDir::new().unwrap();
        let mut innocent = Running::innocent();
        let pid = innocent.pid();
        let foreign = foreign_files(home.path());
        let stale = put(home.path(), &format!("master.{pid}.pid"), &pid);
        put(home.path(), "master.999999999.pid", &999_999_999);
        put(home.path(), &format!("worker.{pid}.pid"), &pid);
        // Never listened on: a listening one would live on for an instant in any child that another test starts now.
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(Entry::Socket(pid).path(home.path())).unwrap()).unwrap();
        assert_eq!(examine(&stale, pid), Standing::Stale);
        let outcome = stop_all(home.path(), verb, LONG).unwrap();
        assert_eq!(outcome, Outcome { stale_removed: 4, ..Outcome::default() });
        assert_eq!(names(home.path()), foreign);
        assert!(innocent.is_running());
    }
}

#[test]
fn a_file_that_is_open_but_not_locked_is_stale() {
    let home = TempDir::new().unwrap();
    let script = "printf $$ > draft; exec < draft; mv draft master.$$.pid; exec sleep 600";
    let mut innocent =
        Running(Command::new("sh").args(["-c", script]).current_dir(home.path()).spawn().unwrap(), None);
    let path = Entry::Master(innocent.pid()).path(home.path());
    let name = format!("/proc/{}/comm", innocent.pid());
    wait_until(|| fs::read_to_string(&name).is_ok_and(|it| it == "sleep\n"));
    assert_eq!(examine(&path, innocent.pid()), Standing::Stale);
    assert_eq!(stop(home.path(), LONG), Outcome { stale_removed: 1, ..Outcome::default() });
    assert!(innocent.is_running());
}

#[test]
fn a_lock_alone_proves_nothing() {
    let home = TempDir::new().unwrap();
    let mut innocent = Running::innocent();
    let pid = innocent.pid();
    let path = put(home.path(), &format!("master.{pid}.pid"), &pid);
    // Held by this process, not by the one that the file names: as a container's file looks from outside.
    let lock = Flock::lock(File::open(&path).unwrap(), FlockArg::LockExclusive).unwrap();
    assert_eq!(examine(&path, pid), Standing::Elsewhere);
    for verb in [Verb::Stop, Verb::Shutdown] {
        assert_eq!(stop_all(home.path(), verb, SHORT).unwrap(), Outcome::default());
    }
    assert!(path.exists() && innocent.is_running());
    drop(lock);
    // A look at a file must not make another one, at the same time, take it for held.
    let glance = Flock::lock(File::open(&path).unwrap(), FlockArg::LockShared).unwrap();
    assert_eq!(examine(&path, pid), Standing::Stale);
    drop(glance);
}

#[test]
fn stop_asks_first_and_removes_nothing_that_is_not_stale() {
    let home = TempDir::new().unwrap();
    let (mut master, worker) = Running::master("polite", home.path());
    put(home.path(), "foo.txt", &"x");
    let outcome = stop(home.path(), LONG);
    assert_eq!(outcome, Outcome { masters: vec![master.pid()], ..Outcome::default() });
    assert_eq!(master.status().code(), Some(7));
    assert_eq!(names(home.path()), ["foo.txt"]);
    wait_until(|| Process::open(worker).is_none());
}

#[test]
fn stop_kills_a_master_that_does_not_answer_and_clears_up_after_it() {
    for role in ["mute", "silent", "undead"] {
        let home = TempDir::new().unwrap();
        let (mut master, worker) = Running::master(role, home.path());
        let (other, other_worker) = Running::master("polite", &home.path().join("elsewhere"));
        assert_eq!(stop(home.path(), SHORT).masters, [master.pid()]);
        assert_eq!(master.status().signal(), Some(9));
        assert_eq!(names(home.path()), ["elsewhere"]);
        assert!(Process::open(other.pid()).is_some() && Process::open(other_worker).is_some());
        assert!(Process::open(worker).is_none());
    }
}

#[test]
fn stop_from_several_processes_at_once_does_no_harm() {
    let home = TempDir::new().unwrap();
    let mut masters: Vec<_> =
        ["polite", "mute", "polite"].iter().map(|role| Running::master(role, home.path()).0).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| stop(home.path(), SHORT));
        }
    });
    assert!(masters.iter_mut().all(|it| !it.is_running()));
    assert!(names(home.path()).is_empty());
}

#[test]
fn shutdown_resolves_with_the_answer_and_leaves_the_master_to_itself() {
    let home = TempDir::new().unwrap();
    let (mut polite, _) = Running::master("polite", home.path());
    let (mut mute, _) = Running::master("mute", home.path());
    let outcome = shutdown(home.path(), Duration::from_millis(500));
    let mut pids = [polite.pid(), mute.pid()];
    pids.sort_unstable();
    assert_eq!(outcome.masters, pids);
    assert_eq!(mute.status().signal(), Some(15));
    assert!(polite.is_running());
}

#[test]
fn shutdown_without_a_socket_falls_back_on_sigterm() {
    let home = TempDir::new().unwrap();
    let (mut master, _) = Running::master("silent", home.path());
    assert_eq!(shutdown(home.path(), SHORT).masters, [master.pid()]);
    assert_eq!(master.status().signal(), Some(15));
}

#[test]
fn a_master_that_stops_its_own_directory_is_told_so() {
    let home = TempDir::new().unwrap();
    let own = PidDir::open(home.path(), true).unwrap();
    own.worker_started(id()).unwrap();
    let (mut other, _) = Running::master("polite", home.path());
    let outcome = stop(home.path(), LONG);
    assert_eq!(outcome, Outcome { masters: vec![other.pid()], stale_removed: 0, own: true });
    assert_eq!(other.status().code(), Some(7));
    assert_eq!(names(home.path()), [format!("master.{}.pid", id()), format!("worker.{}.pid", id())]);
}

/// Serves a directory's control socket, and talks to it meanwhile from another thread.
fn with_server<T: Send + 'static>(
    path: &Path,
    answer: fn(Request),
    client: impl FnOnce(&Path) -> T + Send + 'static,
) -> T {
    let dir = PidDir::open(path, true).unwrap();
    let socket = server::bind(&dir.control_path()).unwrap();
    let address = dir.control_path();
    run(async {
        let (done, is_done) = tokio::sync::oneshot::channel::<()>();
        let client = std::thread::spawn(move || {
            // Dropped at the end, be it a panic.
            let _done = done;
            client(&address)
        });
        tokio::select! {
            served = server::serve(socket, async move |request| answer(request)) => served.unwrap(),
            _ = is_done => {}
        }
        client.join().unwrap()
    })
}

fn echo(request: Request) {
    match request.call.as_str() {
        "echo" => request.reply.send(request.args),
        "drop" => drop(request),
        "never" => std::mem::forget(request),
        "later" => drop(tokio::task::spawn_local(async {
            tokio::task::yield_now().await;
            request.reply.send(json!({ "ok": true, "late": true }));
        })),
        call => request.reply.refuse(&format!("there is no call \"{call}\"")),
    }
}

fn ask(path: &Path, call: &str, args: &Value) -> Value {
    client::ask(path, id(), call, args, Instant::now() + LONG).unwrap()
}

/// What comes back for raw bytes, up to the end of the stream.
fn say(path: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    // The answer to a request that is too long may come before all of it has been sent.
    let _ = stream.write_all(bytes);
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    answer
}

#[test]
fn calls_are_answered_with_one_line_each() {
    let home = TempDir::new().unwrap();
    with_server(home.path(), echo, |path| {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        let args = json!({ "reason": "a\nb", "n": 4, "text": "x".repeat(60_000) });
        assert_eq!(ask(path, "echo", &args), args);
        assert_eq!(ask(path, "echo", &Value::Null), Value::Null);
        assert_eq!(ask(path, "later", &Value::Null)["late"], true);
        for call in ["drop", "reboot"] {
            let answer = ask(path, call, &Value::Null);
            assert_eq!((&answer["ok"], &answer["code"]), (&json!(false), &json!("ERR_CLUSTER2_CONTROL")));
            assert!(answer["message"].is_string());
        }
        assert_eq!(say(path, b"{\"call\":\"echo\",\"args\":[1]}\n"), "[1]\n");
    });
}

#[test]
fn what_is_no_request_is_refused_and_the_next_one_is_served() {
    let home = TempDir::new().unwrap();
    with_server(home.path(), echo, |path| {
        let huge = vec![b' '; 200_000];
        for bytes in [&b"\n"[..], b"stop\n", b"[]\n", b"{}\n", b"{\"call\":7}\n", b"\xff\xfe\n", &huge] {
            assert!(say(path, bytes).contains("ERR_CLUSTER2_CONTROL"));
        }
        drop(UnixStream::connect(path).unwrap());
        assert_eq!(ask(path, "echo", &json!(5)), 5);
    });
}

#[test]
fn more_clients_than_places_wait_for_theirs() {
    let home = TempDir::new().unwrap();
    with_server(home.path(), echo, |path| {
        let mut idle: Vec<_> =
            (0..server::CONNECTIONS + 3).map(|_| UnixStream::connect(path).unwrap()).collect();
        let late = client::ask(path, id(), "echo", &json!(1), Instant::now() + SHORT);
        assert!(late.is_err(), "there was a place beyond the limit");
        idle.truncate(3);
        assert_eq!(ask(path, "echo", &json!(2)), 2);
    });
}

#[test]
fn a_client_that_leaves_without_its_answer_gives_up_its_place() {
    let home = TempDir::new().unwrap();
    with_server(home.path(), echo, |path| {
        for _ in 0..=server::CONNECTIONS {
            let mut client = UnixStream::connect(path).unwrap();
            client.write_all(b"{\"call\":\"never\"}\n").unwrap();
        }
        assert_eq!(ask(path, "echo", &json!(1)), 1);
    });
}

#[test]
fn a_client_that_only_sends_no_more_gets_its_answer() {
    let home = TempDir::new().unwrap();
    with_server(home.path(), echo, |path| {
        let mut client = UnixStream::connect(path).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client.write_all(b"{\"call\":\"later\"}\n").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(io::read_to_string(client).unwrap().contains("\"late\":true"));
    });
}

#[test]
fn an_answer_leaves_in_the_turn_after_it_was_given() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("socket");
    let socket = server::bind(&path).unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"{\"call\":\"echo\"}\n").unwrap();
    run(async {
        let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
        let forward = async move |request| asked.send(request).unwrap();
        let serving = tokio::task::spawn_local(server::serve(socket, forward));
        let request = is_asked.recv().await.unwrap();
        // The master waits before it answers, and ends a turn later.
        tokio::time::sleep(SHORT).await;
        request.reply.send(json!("bye"));
        tokio::task::yield_now().await;
        serving.abort();
    });
    client.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(io::read_to_string(client).unwrap(), "\"bye\"\n");
}

#[test]
fn a_client_that_sends_nothing_is_given_up() {
    let home = TempDir::new().unwrap();
    let dir = PidDir::open(home.path(), true).unwrap();
    let socket = server::bind(&dir.control_path()).unwrap();
    let client = UnixStream::connect(dir.control_path()).unwrap();
    run(async {
        tokio::time::pause();
        let mut client = tokio::net::UnixStream::from_std({
            client.set_nonblocking(true).unwrap();
            client
        })
        .unwrap();
        let mut answer = String::new();
        let read = tokio::io::AsyncReadExt::read_to_string(&mut client, &mut answer);
        let started = tokio::time::Instant::now();
        tokio::select! {
            served = server::serve(socket, async |request| echo(request)) => served.unwrap(),
            read = read => assert_eq!(read.unwrap(), 0),
        }
        assert!(started.elapsed() >= server::REQUEST_TIME);
    });
}

#[test]
fn a_long_path_is_no_obstacle() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("long/".repeat(60));
    with_server(&path, echo, |path| {
        assert!(path.as_os_str().len() > 300);
        assert_eq!(ask(path, "echo", &json!(1)), 1);
    });
    assert!(names(&path).is_empty());
    let (mut master, _) = Running::master("polite", &path);
    assert_eq!(stop(&path, LONG).masters, [master.pid()]);
    assert_eq!(master.status().code(), Some(7));
}

#[test]
fn a_stale_socket_of_the_same_pid_is_replaced() {
    let home = TempDir::new().unwrap();
    let dir = PidDir::open(home.path(), true).unwrap();
    drop(server::bind(&dir.control_path()).unwrap());
    assert!(dir.control_path().exists());
    let socket = server::bind(&dir.control_path()).unwrap();
    UnixStream::connect(dir.control_path()).unwrap();
    drop(socket);
}

#[test]
fn the_socket_of_another_process_is_not_asked() {
    let home = TempDir::new().unwrap();
    with_server(home.path(), echo, |path| {
        let error = client::ask(path, 1, "echo", &Value::Null, Instant::now() + LONG).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    });
}

#[test]
fn a_master_that_can_not_be_told_is_reported_and_not_signalled() {
    let home = TempDir::new().unwrap();
    let mut innocent = Running::innocent();
    let path = put(home.path(), &format!("master.{}.pid", innocent.pid()), &innocent.pid());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(&path).is_ok() {
        // Root may read everything: then there is nothing that it can't tell.
        return;
    }
    let error = stop_all(home.path(), Verb::Stop, SHORT).unwrap_err();
    assert!(matches!(error, Error::Control { pid, .. } if pid == innocent.pid()));
    assert!(innocent.is_running() && path.exists());
}
