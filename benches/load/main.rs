//! The load of the benchmarks: keeps clients busy against a server on this machine and says how they fared.
//!
//! `benches/lib/load.js` starts it with its orders, one JSON object, as the only argument (see `orders.rs`). It prints
//! `{"started":true}` when the first client sets out and its findings, one line of JSON, at the end. One thread and
//! one epoll, because what the load costs is missing from the servers on a small machine: about what wrk costs.
//! It ends by itself after the seconds it was told, plus one time-out, or sooner when stdin ends; and with whoever
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
    let findings = engine::Engine::new(orders)?.run(&mut out)?;
    writeln!(out, "{}", serde_json::to_string(&findings)?)?;
    Ok(())
}
