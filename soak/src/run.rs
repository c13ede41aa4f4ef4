//! The run: cycles of phases, the watch beside them, and what there is to say at the end.

use crate::chart;
use crate::cli::Cli;
use crate::contents::Random;
use crate::drift::judge;
use crate::errands::{self, ERRANDS};
use crate::figures::{Figures, HEADINGS, Reader};
use crate::forms::{Form, Heap};
use crate::load::{Load, Phase};
use crate::objects::{COUNTS, KINDS};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A run is so many cycles, unless they would be shorter or longer than makes sense.
const CYCLES: u32 = 16;
const SHORTEST_CYCLE: Duration = Duration::from_millis(400);
const LONGEST_CYCLE: Duration = Duration::from_secs(15);

/// How often somebody looks at the clock.
const TICK: Duration = Duration::from_millis(20);

/// What the watch has seen. Its memory is there, and touched, from the start: the watch must not be the drift.
struct Log {
    samples: Vec<Figures>,
    csv: BufWriter<File>,
}

impl Log {
    fn new(path: &Path, expected: usize) -> io::Result<Self> {
        let mut samples = vec![Figures::default(); expected];
        samples.clear();
        let mut csv = BufWriter::new(File::create(path)?);
        writeln!(csv, "{HEADINGS}")?;
        Ok(Self { samples, csv })
    }

    fn add(&mut self, figures: Figures) -> io::Result<()> {
        self.samples.push(figures);
        writeln!(self.csv, "{}", figures.row())
    }
}

struct Soak<'a> {
    cli: &'a Cli,
    heap: &'a Heap,
    load: Load,
    log: Mutex<Log>,
    started: Instant,
    cycle: AtomicU32,
    interrupted: Arc<AtomicBool>,
}

/// Everything, from a valid command line to the exit status.
pub fn run(cli: &Cli, heap: &Heap) -> Result<ExitCode, String> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let noted = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted));
    noted.map_err(|error| format!("Ctrl-C cannot be noted: {error}"))?;
    let csv = cli.csv.clone().unwrap_or_else(|| cli.svg.with_extension("csv"));
    for path in [&cli.svg, &csv] {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
    }
    // Before the load: a picture that cannot be written is to be known now, not after hours.
    File::create(&cli.svg).map_err(|error| format!("{}: {error}", cli.svg.display()))?;
    let cycle = (cli.minutes / CYCLES).clamp(SHORTEST_CYCLE, LONGEST_CYCLE);
    let expected = cli.minutes.as_secs() as usize + (cli.minutes.as_millis() / cycle.as_millis()) as usize + 100;
    let soak = Soak {
        cli,
        heap,
        load: Load::new((cli.live_mib as usize) << 20),
        log: Mutex::new(Log::new(&csv, expected).map_err(|error| format!("{}: {error}", csv.display()))?),
        started: Instant::now(),
        cycle: AtomicU32::new(0),
        interrupted,
    };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| soak.watch(&over));
        let mut reader = Reader::new();
        while soak.started.elapsed() < cli.minutes && !soak.is_over() {
            soak.cycle(cycle, &mut reader);
        }
        over.store(true, Relaxed);
        if watch.join().is_err() {
            soak.load.fail("the watch panicked");
        }
    });
    soak.close(&csv)
}

impl Soak<'_> {
    fn is_over(&self) -> bool {
        self.load.is_stopped() || self.interrupted.load(Relaxed)
    }

    /// Waits for a time to pass, or for the end of the run.
    fn pass(&self, time: Duration) {
        let started = Instant::now();
        while started.elapsed() < time && !self.is_over() {
            thread::sleep(TICK.min(time));
        }
    }

    fn log(&self, figures: io::Result<Figures>) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = figures.and_then(|figures| log.add(figures)) {
            self.load.fail(format!("the watch: {error}"));
        }
    }

    /// Samples once a second, and says every ten how it goes.
    fn watch(&self, over: &AtomicBool) {
        let mut reader = Reader::new();
        let (mut next, mut next_line) = (Duration::ZERO, Duration::from_secs(10));
        let (mut steps_before, mut time_before) = (0, Duration::ZERO);
        while !over.load(Relaxed) {
            thread::sleep(TICK);
            let at = self.started.elapsed();
            if at < next {
                continue;
            }
            next = Duration::from_secs(at.as_secs() + 1);
            let figures = reader.now(self.heap, at, false, self.load.live.load(Relaxed));
            if let Ok(figures) = &figures
                && at >= next_line
            {
                next_line += Duration::from_secs(10);
                let steps = self.load.steps.load(Relaxed);
                let rate = (steps - steps_before) as f64 / (at - time_before).as_secs_f64();
                (steps_before, time_before) = (steps, at);
                println!(
                    "{:>6} s  cycle {:<4} {:<6}  live {:>4} MiB  RSS {:>4} MiB  {:>5} mappings  {:>3} descriptors  \
                     {:>8.0} steps/s",
                    at.as_secs(),
                    self.cycle.load(Relaxed),
                    self.load.phase().name(),
                    figures.live >> 20,
                    figures.rss >> 20,
                    figures.mappings,
                    figures.descriptors,
                    rate
                );
            }
            self.log(figures);
        }
    }

    /// The phases, then rest.
    fn cycle(&self, time: Duration, reader: &mut Reader) {
        let load = &self.load;
        let number = self.cycle.fetch_add(1, Relaxed);
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let threads = self.cli.threads.map_or(processors + 1, usize::from);
        load.set_phase(Phase::Burst);
        let failed = thread::scope(|scope| {
            let mut random = Random::new(u64::from(number));
            let mut threads: Vec<_> = (0..threads)
                .map(|_| {
                    let random = Random::new(random.next());
                    scope.spawn(|| load.work(random))
                })
                .collect();
            threads.push(scope.spawn(|| load.rove()));
            let mut errands = Random::new(random.next());
            threads.push(scope.spawn(move || errands::run(load, self.heap, &mut errands)));
            for phase in Phase::BUSY {
                load.set_phase(phase);
                if phase == Phase::Steady && number == 1 && self.cli.corrupt && !load.corrupt() {
                    load.fail("there is no object to flip a byte of");
                }
                if phase == Phase::Waves {
                    threads.push(scope.spawn(|| load.waves(&mut Random::new(u64::from(number)))));
                }
                self.pass(time / Phase::BUSY.len() as u32);
            }
            load.set_phase(Phase::Rest);
            threads.into_iter().map(|thread| thread.join().is_err()).filter(|&panicked| panicked).count()
        });
        if failed > 0 {
            load.fail(format!("{failed} threads panicked"));
        }
        load.clear();
        if self.cli.leak > 0 {
            vec![1_u8; self.cli.leak].leak();
        }
        self.heap.purge();
        self.log(reader.now(self.heap, self.started.elapsed(), true, load.live.load(Relaxed)));
    }

    /// Writes what there is, and judges.
    fn close(self, csv: &Path) -> Result<ExitCode, String> {
        let mut log = self.log.into_inner().unwrap_or_else(PoisonError::into_inner);
        log.csv.flush().map_err(|error| format!("{}: {error}", csv.display()))?;
        let form = match Form::current() {
            Form::Slabs => "slabs for every size",
            Form::Default => "small objects on malloc",
            Form::Hardened => "hardened",
        };
        let seconds = self.started.elapsed().as_secs();
        let title = format!("mapalloc under a mixed load, {form}: {seconds} s, {} cycles", self.cycle.load(Relaxed));
        chart::draw(&self.cli.svg, &title, &log.samples)
            .map_err(|error| format!("{}: {error}", self.cli.svg.display()))?;
        println!("\n{title}");
        println!("{:<12} {:>12} {:>12} {:>12} {:>12}", "objects", "made", "changed", "checked", "freed");
        for ((_, name, _), counts) in KINDS.iter().zip(&COUNTS) {
            let [made, changed, checked, freed] =
                [&counts.made, &counts.changed, &counts.checked, &counts.freed].map(|count| count.load(Relaxed));
            println!("{name:<12} {made:>12} {changed:>12} {checked:>12} {freed:>12}");
        }
        let errands: Vec<_> = ERRANDS.iter().map(|(name, count)| format!("{} {name}", count.load(Relaxed))).collect();
        println!("{}, {} threads that came and went", errands.join(", "), self.load.threads_ended.load(Relaxed));
        let rests: Vec<Figures> = log.samples.iter().filter(|figures| figures.at_rest).copied().collect();
        let mut drifts = false;
        match judge(&rests) {
            Ok(verdicts) => {
                for verdict in verdicts {
                    println!("{}", verdict.line);
                    drifts |= verdict.drifts;
                }
            }
            Err(count) => println!("{count} rest points are too few to tell a drift"),
        }
        println!("drawn in {}, figures in {}", self.cli.svg.display(), csv.display());
        if self.interrupted.load(Relaxed) {
            println!("interrupted after {seconds} s");
        }
        let faults = self.load.faults();
        faults.iter().for_each(|fault| eprintln!("soak: {fault}"));
        if drifts {
            eprintln!("soak: what the process holds at rest grows");
        }
        Ok(if drifts || !faults.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
