//! The process as Linux sees it, read from `/proc` when the page is rendered. The names are those
//! that every Prometheus client uses.
//!
//! On another system, or where `/proc` is hidden, the series are absent.

use std::fs;

use super::metrics_page::{Page, number};
use super::metrics_table as table;

/// Ticks a second in `/proc`: `USER_HZ`, 100 on every architecture that we build for.
const TICKS: f64 = 100.0;

/// Reads and shows it.
pub(super) fn show(page: &mut Page) {
    if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
        let system = fs::read_to_string("/proc/stat").unwrap_or_default();
        show_stat(page, &stat, &system);
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        for (family, key) in [
            (&table::PROCESS_RESIDENT, "VmRSS:"),
            (&table::PROCESS_VIRTUAL, "VmSize:"),
        ] {
            if let Some(kibibytes) = value_after(&status, key) {
                page.gauge(family, &[], number(kibibytes) * 1024.0);
            }
        }
    }
    if let Some(max) = fs::read_to_string("/proc/self/limits")
        .ok()
        .and_then(|limits| value_after(&limits, "Max open files"))
    {
        page.gauge(&table::PROCESS_FDS_MAX, &[], number(max));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder that is being read.
        let open = u32::try_from(open.count().saturating_sub(1)).unwrap_or(u32::MAX);
        page.gauge(&table::PROCESS_FDS, &[], f64::from(open));
    }
}

/// `/proc/self/stat`: proc(5). The fields behind the command's name, which may have spaces.
fn show_stat(page: &mut Page, stat: &str, system: &str) {
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return;
    };
    let mut fields = fields.split_ascii_whitespace();
    let mut next = |skip: usize| fields.nth(skip).and_then(|field| field.parse::<u64>().ok());
    // utime is field 14, stime 15, num_threads 20, starttime 22; `state` is field 3.
    let (user, kernel, threads, start) = (next(11), next(0), next(4), next(1));
    if let (Some(user), Some(kernel)) = (user, kernel) {
        page.counter_of(&table::PROCESS_CPU, &[], number(user + kernel) / TICKS);
    }
    if let Some(threads) = threads {
        page.gauge(&table::PROCESS_THREADS, &[], number(threads));
    }
    if let (Some(start), Some(boot)) = (start, value_after(system, "btime")) {
        page.gauge(
            &table::PROCESS_START,
            &[],
            number(boot) + number(start) / TICKS,
        );
    }
}

/// The first number on the line that begins with `key`.
fn value_after(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key))?
        .split_ascii_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_spaces_and_brackets_does_not_shift_the_fields() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 1000 1 1";
        let mut page = Page::default();
        show_stat(&mut page, stat, "cpu 1 2\nbtime 1700000000\n");
        let text = page.into_text();
        assert!(text.contains("\nprocess_cpu_seconds_total 2\n"), "{text}");
        assert!(text.contains("\nprocess_threads 9\n"), "{text}");
        assert!(
            text.contains("\nprocess_start_time_seconds 1700000010\n"),
            "{text}"
        );
    }

    #[test]
    fn this_process_is_shown() {
        let mut page = Page::default();
        show(&mut page);
        let text = page.into_text();
        for name in [
            "process_open_fds ",
            "process_max_fds ",
            "process_resident_memory_bytes ",
        ] {
            assert!(text.contains(name), "{name}");
        }
    }
}
