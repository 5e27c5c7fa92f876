//! Obeys what JavaScript and other processes ask for.

use std::time::Instant;

use serde_json::json;

use super::Call;
use super::requesters::{Requester, refusal};
use super::state::State;
use crate::ecv::Change;
use crate::event::Event;
use crate::fleet::{Phase, RecycleReason, Step};
use crate::ipc::message::ToWorker;
use crate::options::calls;
use crate::process::control::AGAIN_AFTER;
use crate::process::control::server::{Reply, Request};
use crate::timestamp::Timestamp;

impl State {
    /// What JavaScript asks for.
    pub(super) fn obey(&mut self, call: Call, now: Instant) {
        match call {
            Call::Signal { worker, signal } => self.workers.signal(worker, signal),
            Call::Disconnect { worker } => {
                self.workers.say(worker, &ToWorker::Disconnect);
                self.step(Step::Departing { worker }, now);
            }
            Call::Fork { launch, forked } => {
                self.launch = *launch;
                self.fork_caller = Some(forked);
                self.step(Step::Fork, now);
                // Where nothing was forked the caller learns it from the end of its channel.
                self.fork_caller = None;
            }
            Call::CloseChannel { worker } => {
                if let Some(worker) = self.workers.get(worker) {
                    worker.writer.close_when_done();
                }
            }
            Call::Recycle { worker } => {
                self.step(Step::Recycle { worker, why: RecycleReason::Asked }, now);
            }
            Call::Reload { args, launch, requester } => self.reload(args, Some(launch), requester, now),
            Call::CancelReload { ticket } => {
                self.cancel_reload("cancelReload() in the master", Requester::JavaScript(ticket), now);
            }
            Call::Launch(launch) => self.hear_launch(&launch, now),
            Call::Scale { scale, requester } => self.scale(scale, requester, now),
            Call::Shutdown => self.begin_shutdown(now),
            Call::Stop => self.stop(now),
            Call::Rotate { ticket, disabled, by, reason } => {
                self.switch.set(disabled, Change::new(&by, Timestamp::now(), reason.as_deref()), None);
                self.tell(Event::Answered { ticket, answer: json!({ "ok": true }) });
            }
            Call::Leave => self.switch.leave(),
            Call::Close => self.is_over = true,
        }
    }

    /// What another process asks for over the control socket.
    pub(super) fn answer(&mut self, request: Request, now: Instant) {
        let Request { call, args, reply } = request;
        match call.as_str() {
            "status" => self.site(false).render_status(|status| reply.send_line(status)),
            "shutdown" => self.shut_down_for(reply, now),
            "stop" => {
                reply.send(json!({ "ok": true }));
                self.tell(Event::StopAsked);
                self.stop(now);
            }
            "disable" | "enable" => {
                self.rotate_by_control(call == "disable", &args);
                reply.send(json!({ "ok": true }));
            }
            "reload" => match calls::Reload::parse(&args) {
                Ok(args) => self.ask_for_launch(args, reply, now),
                Err(error) => reply.send(refusal(&error)),
            },
            "cancelReload" => self.cancel_reload("another process", Requester::Control(reply), now),
            "scale" => match calls::Scale::parse(&args) {
                Ok(scale) => self.scale(scale, Requester::Control(reply), now),
                Err(error) => reply.send(refusal(&error)),
            },
            "recycle" => self.recycle_by_pid(&args, reply, now),
            unknown => reply.refuse(&format!("unknown call '{unknown}'")),
        }
    }

    /// Begins a graceful shutdown: at once, or after a time in which balancers are told to look elsewhere. Asked again
    /// meanwhile, it is the same shutdown.
    fn begin_shutdown(&mut self, now: Instant) {
        self.switch.leave();
        self.is_snapshot_outdated = true;
        let delay = self.options.drain_delay;
        if self.fleet.phase() == Phase::Running && !delay.is_zero() {
            self.shutdown.announce(delay, &mut self.timers, now);
        } else {
            self.shut_down(now);
        }
    }

    fn shut_down_for(&mut self, reply: Reply, now: Instant) {
        if !self.switch.is_leaving() {
            self.tell(Event::ShutdownAsked);
        }
        self.begin_shutdown(now);
        match self.shutdown.announced_until() {
            // A caller that wants to know when nobody gets in any more has to ask again then.
            Some(until) => {
                let wait = until.saturating_duration_since(now).as_millis();
                reply.send(json!({ "ok": true, AGAIN_AFTER: u64::try_from(wait).unwrap_or(u64::MAX) }));
            }
            None => self.shutdown.answer_when_closed(reply),
        }
    }

    /// Begins the shutdown itself.
    pub(super) fn shut_down(&mut self, now: Instant) {
        self.step(Step::Shutdown, now);
        self.abandon_reloads();
    }

    fn stop(&mut self, now: Instant) {
        self.step(Step::Stop, now);
        self.abandon_reloads();
    }
}
