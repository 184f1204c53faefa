//! What was measured, round by round, and the table that is printed.

/// What one party did in one round.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub cpu_micros: f64,
    pub per_second: f64,
    pub p50: f64,
    pub p99: f64,
}

/// The rounds of one party.
pub struct Row {
    pub name: String,
    pub rounds: Vec<Round>,
}

/// The value in the middle.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

/// Prints medians; the ratio is the median of the ratios to the first row in the same round.
pub fn print(title: &str, rows: &[Row]) {
    let base = rows
        .first()
        .map(|row| row.name.as_str())
        .unwrap_or_default();
    println!("\n{title}");
    println!(
        "  {:<16} {:>11} {:>8} {:>8} {:>8} {:>11} {:>9} {:>9}",
        "",
        "CPU us/req",
        format!("x {base}"),
        "least",
        "most",
        "requests/s",
        "p50 us",
        "p99 us"
    );
    for row in rows {
        let ratios = || {
            let pairs = row.rounds.iter().zip(&rows[0].rounds);
            pairs.map(|(own, base)| own.cpu_micros / base.cpu_micros)
        };
        let of = |field: fn(&Round) -> f64| median(row.rounds.iter().map(field));
        println!(
            "  {:<16} {:>11.1} {:>8.2} {:>8.2} {:>8.2} {:>11.0} {:>9.0} {:>9.0}",
            row.name,
            of(|round| round.cpu_micros),
            median(ratios()),
            ratios().fold(f64::INFINITY, f64::min),
            ratios().fold(0.0, f64::max),
            of(|round| round.per_second),
            of(|round| round.p50),
            of(|round| round.p99),
        );
    }
}
