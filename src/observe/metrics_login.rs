//! [`LoginMetrics`]: logins of browsers, and their sessions.

use super::labels::{Counts, LoginResult, RefreshResult};
use super::metrics_page::Page;
use super::metrics_table as table;

/// What one entry of `logins` counts.
#[derive(Debug)]
pub struct LoginMetrics {
    logins: Counts<{ LoginResult::ALL.len() }>,
    refreshes: Counts<{ RefreshResult::ALL.len() }>,
    logouts: Counts<{ LOGOUTS.len() }>,
}

/// By whom a session is ended, and what came of it.
const LOGOUTS: [(&str, &str); 4] = [
    ("user", "ended"),
    ("user", "refused"),
    ("server", "ended"),
    ("server", "refused"),
];

impl Default for LoginMetrics {
    fn default() -> Self {
        Self {
            logins: Counts::new(),
            refreshes: Counts::new(),
            logouts: Counts::new(),
        }
    }
}

impl LoginMetrics {
    /// A login began, was completed, or ended otherwise.
    pub fn login(&self, result: LoginResult) {
        self.logins.add(result as usize);
    }

    /// The tokens of a session were renewed, or not.
    pub fn refreshed(&self, result: RefreshResult) {
        self.refreshes.add(result as usize);
    }

    /// A user asked to be logged out.
    pub fn logged_out(&self, ended: bool) {
        self.logouts.add(usize::from(!ended));
    }

    /// The server sent a logout token.
    pub fn ended_by_server(&self, ended: bool) {
        self.logouts.add(2 + usize::from(!ended));
    }

    pub(super) fn show(&self, page: &mut Page, name: &str) {
        for (result, count) in LoginResult::ALL.iter().zip(self.logins.values()) {
            page.counter(&table::LOGINS, &[name, result.label()], count);
        }
        for (result, count) in RefreshResult::ALL.iter().zip(self.refreshes.values()) {
            page.counter(&table::SESSION_REFRESHES, &[name, result.label()], count);
        }
        for ((by, result), count) in LOGOUTS.iter().zip(self.logouts.values()) {
            page.counter(&table::LOGOUTS, &[name, *by, *result], count);
        }
    }
}
