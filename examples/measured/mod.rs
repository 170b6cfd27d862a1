//! What examples that compare speeds share: a folder for their files, and a table of the same
//! work done in several ways.

use std::error::Error;
use std::fmt::Display;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, process};

pub type Fallible<T> = Result<T, Box<dyn Error>>;
/// What came of some work, and how long it took.
pub type Timed = Fallible<(Vec<u8>, Duration)>;

/// A new folder of this user's, which is there until this is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> io::Result<Self> {
        let path = env::temp_dir().join(format!("ringfence-{}", process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is in the way of nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A way to do work.
pub struct Way<'a, W> {
    name: &'static str,
    run: Box<dyn Fn(&W) -> Timed + 'a>,
}

impl<'a, W> Way<'a, W> {
    pub fn new(name: &'static str, run: impl Fn(&W) -> Timed + 'a) -> Self {
        let run = Box::new(run);
        Self { name, run }
    }

    /// Of its column in the table.
    fn width(&self) -> usize {
        self.name.len().max(8) + 2
    }
}

/// Does each of `works` in each way, one after the other, `runs` times. Prints the median of the
/// first way's times, and of each other one how many times slower its median is. Returns these
/// ratios, in a list for each way.
///
/// # Errors
/// What came of some work is not the same in all ways.
pub fn table<W: Display>(
    title: &str,
    works: &[W],
    ways: &[Way<'_, W>],
    runs: usize,
) -> Fallible<Vec<Vec<f64>>> {
    print!("{title:17}");
    for way in ways {
        print!("{:>1$}", way.name, way.width());
    }
    println!();
    let mut ratios = vec![Vec::new(); ways.len()];
    for work in works {
        let times = times(work, ways, runs)?;
        print!(
            "{:17}{:>2$.1?}",
            work.to_string(),
            times[0],
            ways[0].width()
        );
        for ((way, time), ratios) in ways.iter().zip(&times).zip(&mut ratios).skip(1) {
            let ratio = time.as_secs_f64() / times[0].as_secs_f64();
            print!("{ratio:>0$.1}", way.width());
            ratios.push(ratio);
        }
        println!();
    }
    ratios.remove(0);
    print!("{:1$}", "geometric mean", 17 + ways[0].width());
    for (way, ratios) in ways[1..].iter().zip(&ratios) {
        print!("{:>1$.1}", mean(ratios), way.width());
    }
    println!();
    Ok(ratios)
}

/// The median of each way's times.
fn times<W: Display>(work: &W, ways: &[Way<'_, W>], runs: usize) -> Fallible<Vec<Duration>> {
    let mut expected = None;
    let mut times = vec![Vec::new(); ways.len()];
    for _ in 0..runs.max(1) {
        for (way, times) in ways.iter().zip(&mut times) {
            let (result, time) = (way.run)(work)?;
            times.push(time);
            if *expected.get_or_insert_with(|| result.clone()) != result {
                return Err(format!("{work}: {} has another result", way.name).into());
            }
        }
    }
    let medians = times.into_iter().map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    Ok(medians.collect())
}

/// The geometric mean.
pub fn mean(ratios: &[f64]) -> f64 {
    let sum: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (sum / ratios.len() as f64).exp()
}
