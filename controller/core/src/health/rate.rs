//! What a soak rules out: the exact upper confidence bound of a Poisson mean (Garwood 1936).

use super::real;

/// 1 − 95 %.
const TAIL: f64 = 0.05;

/// Above this count the sum is replaced by an approximation that is better than 10⁻⁴ there.
const EXACT_UP_TO: u64 = 1_000;

/// The mean μ at which seeing `events` or fewer has a chance of 5 %: 2.996 for none, 4.744 for one, 6.296 for two.
pub(super) fn upper_bound(events: u64) -> f64 {
    let shape = real(events) + 1.0;
    // Wilson and Hilferty 1931: the cube root of a chi-square is nearly normal; 1.6449 is the normal's 95th percentile.
    let near = shape * (1.0 - 1.0 / (9.0 * shape) + 1.644_853_627 / (3.0 * shape.sqrt())).powi(3);
    if events > EXACT_UP_TO {
        return near;
    }
    let (mut low, mut high) = (near * 0.5, near * 2.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if at_most(events, middle) > TAIL {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// `P(X ≤ events)` for a Poisson variable of this mean, summed in logarithms.
fn at_most(events: u64, mean: f64) -> f64 {
    let mut ln_term = -mean;
    let mut sum = ln_term.exp();
    for k in 1..=events {
        ln_term += mean.ln() - real(k).ln();
        sum += ln_term.exp();
    }
    sum
}
