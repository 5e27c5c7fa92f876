//! Tells the kernel which slots take new connections, and watches the queues from which no worker takes.
//!
//! `mod.rs` calls it whenever something has changed in who takes clients. The connections that arrive in a watched queue are
//! moved by `handoff`.
//! Invariant: a queue from which no worker takes is watched, also where neither descriptors nor memory are left.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use socket2::Socket;
use tokio::io::Interest;
use tokio::sync::mpsc;

use super::Connections;
use super::handoff::SHARED;
use crate::ids::SlotIndex;
use crate::os::reserve::TRY_AGAIN;
use crate::os::watch::watch;
use crate::socket::ListenerId;
use crate::supervisor::Input;

impl Connections {
    /// Tells the kernel which slots take new connections, and watches the queues of the others.
    pub(super) fn steer(&mut self, now: Instant) {
        let ids: Vec<ListenerId> = self.sockets.listeners().collect();
        let mut watched = Vec::new();
        for listener in ids {
            let served = self.slots_served(listener);
            if served.is_empty() {
                continue;
            }
            let table: Vec<SlotIndex> = served.iter().copied().collect();
            if let Err(error) = self.sockets.steer(listener, &table) {
                // The kernel then spreads by its hash, and what lands on an unserved slot is moved all the same.
                self.warnings.push(format!("cannot steer new connections: {error}"));
            }
            if self.sockets.is_handed(listener) {
                self.watch_stranded(listener, SHARED);
            }
            for slot in self.sockets.slots(listener) {
                if !served.contains(&slot) && !self.is_watched(listener, slot) {
                    self.watch_stranded(listener, slot);
                    continue;
                }
                self.handoff.unwatch_one(listener, slot);
                // Where all watch a queue there is nobody else who could take from it; and where clients belong to a slot,
                // nobody should.
                if !self.is_sticky && self.has_idle_help(listener, slot) && self.is_known(slot) {
                    watched.push((listener, slot));
                }
            }
        }
        self.watch_queues(watched, now);
        self.publish_takers();
    }

    /// Whether there are workers that could take what waits at a slot and don't watch its queue.
    fn has_idle_help(&self, listener: ListenerId, slot: SlotIndex) -> bool {
        self.taking(listener).any(|(_, server)| !server.watches(listener, slot))
    }

    /// Has the hand-off called when a connection arrives on a socket that nobody serves.
    fn watch_stranded(&mut self, listener: ListenerId, slot: SlotIndex) {
        if self.handoff.is_watched(listener, slot) {
            return;
        }
        let Some(socket) = self.sockets.share(listener, slot) else { return };
        let task = self.tasks.spawn(report_arrivals(socket, self.inputs.clone()));
        self.handoff.watch(listener, slot, task);
    }
}

/// Says each time that a connection arrives on a socket that nobody serves. While the kernel has no memory for a watch, it has
/// the hand-off look now and then.
async fn report_arrivals(socket: Arc<Socket>, inputs: mpsc::Sender<Input>) {
    let watched = loop {
        if let Ok(watched) = watch(socket.as_fd(), Interest::READABLE) {
            break watched;
        }
        tokio::time::sleep(TRY_AGAIN).await;
        if inputs.send(Input::Stranded).await.is_err() {
            return;
        }
    };
    while let Ok(mut ready) = watched.readable().await {
        ready.clear_ready();
        if inputs.send(Input::Stranded).await.is_err() {
            return;
        }
    }
}
