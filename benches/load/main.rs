//! The load of the benchmarks: keeps clients busy against a server on this machine and says how they fared.
//!
//! `benches/lib/load.js` starts it with its orders, one JSON object, as the only argument (see `orders.rs`). It prints
//! `{"started":true}` when the first client sets out and its findings, one line of JSON, at the end. One thread, or as
//! many as were ordered, with one epoll each, because what the load costs is missing from the servers on a small
//! machine: about what wrk costs. It ends by itself after the seconds it was told, plus one time-out, or sooner when stdin ends; and with whoever
//! started it.

#[cfg(target_os = "linux")]
mod answer;
#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod engine;
#[cfg(target_os = "linux")]
mod findings;
#[cfg(target_os = "linux")]
mod histogram;
#[cfg(target_os = "linux")]
mod orders;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use std::io::Write;

    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(problem) => {
            // With stderr gone there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "load: {problem}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn run() -> Result<(), Box<dyn std::error::Error>> {
    use std::io::Write;

    use nix::sys::prctl::set_pdeathsig;
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use nix::sys::signal::Signal;

    set_pdeathsig(Signal::SIGKILL)?;
    let text = std::env::args().nth(1).ok_or("its orders are missing")?;
    let orders: orders::Orders = serde_json::from_str(&text)?;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let mut out = std::io::stdout().lock();
    let engines: Result<Vec<_>, _> = orders.shares().into_iter().map(engine::Engine::new).collect();
    let mut engines = engines?;
    writeln!(out, "{{\"started\":true}}")?;
    std::thread::scope(|scope| {
        let runs: Vec<_> = engines.iter_mut().map(|engine| scope.spawn(|| engine.run())).collect();
        runs.into_iter()
            .try_for_each(|run| run.join().map_err(|_| std::io::Error::other("a thread failed"))?)
    })?;
    let mut tally = findings::Tally::default();
    for engine in &engines {
        tally.add(&engine.tally);
    }
    let findings = serde_json::to_string(&tally.findings())?;
    if orders.mode == orders::Mode::Idle {
        hold(&mut out, &findings)?;
    }
    writeln!(out, "{findings}")?;
    Ok(())
}

/// Says that all connections are open and keeps them until stdin ends, for a minute at most.
#[cfg(target_os = "linux")]
fn hold(out: &mut impl std::io::Write, findings: &str) -> std::io::Result<()> {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    const LONGEST_MS: u16 = 60_000;
    writeln!(out, "{{\"opened\":{findings}}}")?;
    out.flush()?;
    let stdin = std::io::stdin();
    poll(&mut [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)], PollTimeout::from(LONGEST_MS))?;
    Ok(())
}
