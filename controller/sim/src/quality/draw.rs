//! Random variables of the noise models.

use crate::Random;

/// Exponential with mean 1.
pub fn exponential(random: &mut Random) -> f64 {
    -(1.0 - random.unit()).ln()
}

/// Normal with mean 0 and variance 1 (Box and Muller).
pub fn normal(random: &mut Random) -> f64 {
    (2.0 * exponential(random)).sqrt() * (std::f64::consts::TAU * random.unit()).cos()
}

/// Gamma with this shape and mean 1, for a shape below one (Marsaglia and Tsang 2000).
pub fn gamma(random: &mut Random, shape: f64) -> f64 {
    let d = shape + 1.0 - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(random);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && -exponential(random) < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v * (1.0 - random.unit()).powf(1.0 / shape) / shape;
        }
    }
}

/// Poisson: counted for small means, rounded from a normal for large ones.
pub fn poisson(random: &mut Random, mean: f64) -> u64 {
    if mean > 100.0 {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at least 0, and `as` saturates"
        )]
        return (mean + mean.sqrt() * normal(random)).round().max(0.0) as u64;
    }
    let mut left = mean - exponential(random);
    let mut count = 0;
    while left > 0.0 {
        count += 1;
        left -= exponential(random);
    }
    count
}
