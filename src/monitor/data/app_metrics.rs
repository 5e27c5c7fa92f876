//! The application's own metrics: text in Prometheus' format, kept from one call of `c.metrics`' function to the next.
//!
//! The thread of JavaScript sets the text, about once a second; the renderer reads it. So a master whose loop is blocked
//! delays no scrape: its last text is shown.

use std::sync::{Arc, Mutex, PoisonError};

/// How long the application's text may be; what goes beyond is not taken.
const TEXT_LIMIT: usize = 4 * 1024 * 1024;

/// The text, between its two threads.
#[derive(Clone, Debug, Default)]
pub struct AppMetrics(Arc<Mutex<Arc<str>>>);

impl AppMetrics {
    /// Replaces the text; a text that is too long changes nothing, and gives `false`.
    pub fn set(&self, text: &str) -> bool {
        let fits = text.len() <= TEXT_LIMIT;
        if fits {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
        }
        fits
    }

    /// The text as it was said last.
    #[must_use]
    pub fn get(&self) -> Arc<str> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_not_taken() {
        let kept = AppMetrics::default();
        assert!(kept.set("a 1\n"));
        assert!(!kept.set(&"x".repeat(TEXT_LIMIT + 1)));
        assert_eq!(&*kept.get(), "a 1\n");
    }
}
