//! Programs that are started, and what they have from this process.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::*;

const SHELL: &str = "/bin/sh";

fn program<'a>(exec: &'a str, args: &[&str]) -> Program<'a> {
    let args = args.iter().map(|&arg| arg.to_owned()).collect();
    Program {
        exec: Path::new(exec),
        args,
        env: vec![],
        cwd: None,
        user: User::default(),
        output: None,
        first: FIRST_GIVEN,
        given: vec![],
        may_outlive_us: false,
    }
}

/// The output of a script that may write to the descriptor behind those that the program is given.
fn output_of(program: Program<'_>) -> String {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut given = program.given.clone();
    given.push(Some(writer.as_fd()));
    let pid = start(&Program { given, ..program }).unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    end_of(pid);
    text
}

fn output(script: &str, env: Vec<(&str, String)>, cwd: Option<&Path>) -> String {
    output_of(Program { env, cwd, ..program(SHELL, &["-c", script]) })
}

fn end_of(pid: u32) -> (Option<i32>, i32) {
    loop {
        match reap(pid).unwrap() {
            Some(reaped) => break (reaped.code, reaped.signal),
            None => std::thread::yield_now(),
        }
    }
}

/// How a program ends whose parent's thread has ended.
fn end_of_orphan(user: User) -> (Option<i32>, i32) {
    let sleep = move || start(&Program { user, ..program("/bin/sleep", &["60"]) }).unwrap();
    end_of(std::thread::spawn(sleep).join().unwrap())
}

fn failure(exec: &str, cwd: Option<&Path>) -> Option<i32> {
    start(&Program { cwd, ..program(exec, &[]) }).unwrap_err().raw_os_error()
}

#[test]
fn a_child_gets_its_environment_directory_and_descriptors_and_nothing_else() {
    let env = vec![("A", "b c".to_owned())];
    assert_eq!(
        output("echo $A \"$(env | grep -c ^A=)\" $PWD >&3", env, Some(Path::new("/usr"))),
        "b c 1 /usr\n"
    );
    // The last of several, so that its number is none of those that the child is given.
    let secrets: Vec<_> = (0..5).map(|_| File::open("/dev/null").unwrap()).collect();
    let look = format!("test -e /dev/fd/{} || echo closed >&3", secrets[4].as_raw_fd());
    assert_eq!(output(&look, vec![], None), "closed\n");
}

#[test]
fn descriptors_are_handed_down_in_order_whatever_their_numbers_are() {
    let pipes: Vec<_> = (0..3).map(|_| std::io::pipe().unwrap()).collect();
    // Backwards, so that the numbers of some are the places of others wherever those are low.
    let ends = || pipes.iter().rev().map(|(_, writer)| writer.as_fd());
    let name = |fd: BorrowedFd<'_>| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
    let expected: Vec<_> =
        (3..).zip(ends()).map(|(place, fd)| format!("{place} {}", name(fd).display())).collect();
    let look = "for fd in 3 4 5 6 7 8 9; do echo $fd $(readlink /proc/self/fd/$fd); done >&6";
    let text = output_of(Program { given: ends().map(Some).collect(), ..program(SHELL, &["-c", look]) });
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(&lines[..3], &expected[..]);
    assert_eq!(&lines[4..], ["7", "8", "9"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_child_becomes_the_user_that_it_should_or_says_which_id_is_not_allowed() {
    use std::os::unix::process::CommandExt;

    const UID: u32 = 65_534;
    const INSIDE: &str = "CLUSTER2_TEST_OTHER_USER";
    let as_user = |script: &'static str| {
        let user = User { uid: Some(UID), gid: Some(UID - 1) };
        Program { user, ..program(SHELL, &["-c", script]) }
    };
    if std::env::var_os(INSIDE).is_some() {
        let error = start(&as_user("true")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("gid 65533"), "{error}");
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    assert_eq!(output_of(as_user("id -u >&3; id -G >&3")), "65534\n65533\n");
    assert_eq!(end_of_orphan(as_user("").user), (None, libc::SIGKILL));
    assert!(nix::sys::prctl::get_dumpable().unwrap());

    let own = std::env::current_exe().unwrap();
    let name = "os::child::tests::a_child_becomes_the_user_that_it_should_or_says_which_id_is_not_allowed";
    let mut again = std::process::Command::new("/proc/self/exe");
    again.arg0(own).args(["--exact", name]).env(INSIDE, "1").uid(UID).stdout(std::process::Stdio::null());
    assert!(again.status().unwrap().success());
}

#[test]
fn what_cannot_be_started_says_why() {
    let nowhere = PathBuf::from("/nowhere");
    assert_eq!(failure("/nowhere", None), Some(libc::ENOENT));
    assert_eq!(failure("/bin/sh", Some(&nowhere)), Some(libc::ENOENT));
    assert_eq!(failure("/etc/passwd", None), Some(libc::EACCES));
    assert_eq!(start(&program(SHELL, &["a\0b"])).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[cfg(target_os = "linux")]
#[test]
fn a_child_has_clean_signals_whatever_this_thread_blocks_or_ignores() {
    use nix::sys::signal::{SigSet, SigmaskHow, Signal};
    // Rust ignores SIGPIPE in every program of its own.
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGUSR1);
    let before = blocked.thread_swap_mask(SigmaskHow::SIG_SETMASK).unwrap();
    let text = output(
        "while read name value; do case $name in Sig[BI]*) echo $name $value;; esac; done \
        < /proc/self/status >&3",
        vec![],
        None,
    );
    assert_eq!(SigSet::thread_get_mask().unwrap(), blocked);
    before.thread_set_mask().unwrap();
    let words: Vec<_> = text.split_whitespace().collect();
    assert_eq!([words[0], words[2]], ["SigBlk:", "SigIgn:"]);
    // What lies above the standard signals is left alone.
    let of = |digits: &str| u64::from_str_radix(digits, 16).unwrap() & 0x7fff_ffff;
    assert_eq!([of(words[1]), of(words[3])], [0, 0]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_child_dies_with_the_thread_that_started_it() {
    assert_eq!(end_of_orphan(User::default()), (None, libc::SIGKILL));
}
