//! `make bench-health`: plays every row, on all cores, and writes docs/decision-quality.md with its pictures.
//!
//! `cargo bench -p lockkeeper-sim --bench health -- [--runs N] [--seed N] [--threads N] [--out DIR]`; the same seed gives the same page,
//! whatever the number of threads.

use lockkeeper_sim::quality::{measure, page, rows};
use std::{
    fs,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

struct Asked {
    runs: u32,
    seed: u64,
    threads: usize,
    out: PathBuf,
}

fn main() {
    let asked = asked();
    let rows = rows();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..asked.threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(row) = rows.get(index) else { break };
                    let seed = asked.seed.wrapping_mul(1_000_003).wrapping_add(index as u64);
                    let result = measure(row, asked.runs, seed);
                    eprintln!("row {} of {}", index + 1, rows.len());
                    found.lock().expect("no thread panics while it pushes").push((index, *row, result));
                }
            });
        }
    });
    let mut found = found.into_inner().expect("all threads are done");
    found.sort_by_key(|(index, ..)| *index);
    let measured: Vec<_> = found.into_iter().map(|(_, row, result)| (row, result)).collect();
    let (text, pictures) = page(&measured, asked.runs, asked.seed);
    write(&asked.out.join("decision-quality.md"), &text);
    for (name, svg) in pictures {
        write(&asked.out.join(name), &svg);
    }
}

fn asked() -> Asked {
    let docs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut asked = Asked { runs: 2_000, seed: 1, threads, out: docs };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|text| text.parse::<u32>().ok()).filter(|n| *n > 0);
        match word.as_str() {
            // What cargo adds.
            "--bench" => {}
            "--runs" => asked.runs = number().unwrap_or_else(|| usage()),
            "--seed" => asked.seed = u64::from(number().unwrap_or_else(|| usage())),
            "--threads" => asked.threads = number().unwrap_or_else(|| usage()) as usize,
            "--out" => asked.out = words.next().map_or_else(|| usage(), PathBuf::from),
            _ => usage(),
        }
    }
    asked
}

fn usage() -> ! {
    eprintln!("health [--runs N] [--seed N] [--threads N] [--out DIR]: numbers are above 0");
    std::process::exit(2);
}

fn write(path: &std::path::Path, text: &str) {
    if let Err(error) = fs::write(path, text) {
        eprintln!("{}: {error}", path.display());
        std::process::exit(1);
    }
}
