//! The program: the command line, and the steps that the code is taken through.

#[cfg(target_arch = "aarch64")]
#[path = "aarch64.rs"]
mod assembler;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod assembler;
mod expression;
mod fault;
mod function;

use clap::Parser;
use expression::Expression;
use fault::fault_of_writing;
use function::{Draft, Function};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Compiles an arithmetic expression to machine code, calls it, and shows who may write to it when.
#[derive(Parser, Debug)]
#[command(name = "jit")]
struct Cli {
    /// What to compute, of x, y, numbers, + - * and parentheses
    #[arg(default_value = "x * x + 3 * y - 7", allow_hyphen_values = true, value_parser = Expression::parse)]
    expression: Expression,

    /// How many pairs of x and y to compute it for
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    inputs: u32,
}

/// The input whose result is shown.
const SAMPLE: (i64, i64) = (3, 5);

/// Numbers with something peculiar in 64 bits, which all are tried with all.
const PECULIAR: [i64; 8] = [0, 1, -1, 2, i64::MAX, i64::MIN, i64::MIN + 1, 1 << 32];

pub(crate) fn run() -> ExitCode {
    let Cli { expression, inputs } = Cli::parse();
    match show(&expression, inputs as usize) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show(expression: &Expression, inputs: usize) -> Result<(), String> {
    let refused = |error| format!("the access to the code cannot be changed: {error}");
    let inputs: Vec<(i64, i64)> = pairs().take(inputs).collect();

    let function = Draft::compile(expression).finish().map_err(refused)?;
    println!("{} steps are {} bytes of code:", expression.steps().len(), function.bytes().len());
    print_code(function.bytes());
    let (x, y) = SAMPLE;
    println!("x = {x}, y = {y}: {}", function.call(x, y));
    compare(&function, expression, &inputs)?;

    let address = function.bytes().as_ptr();
    match fault_of_writing(address).map_err(|error| format!("no child to write to the code: {error}"))? {
        Some(fault) if fault == address.addr() => {
            println!("a child that writes to the code at {address:p}: SIGSEGV at {fault:#x}");
        }
        Some(fault) => return Err(format!("a write to {address:p} faults at {fault:#x}")),
        None => return Err(format!("the code at {address:p} can be written to while it is executable")),
    }

    let mut draft = function.into_draft().map_err(refused)?;
    draft.negate();
    let function = draft.finish().map_err(refused)?;
    println!("writable, patched to the opposite sign, and executable again: {} bytes", function.bytes().len());
    compare(&function, &expression.negated(), &inputs)
}

/// Calls the code and the interpreter for all inputs and says how long each took, or where they differ.
fn compare(function: &Function, expression: &Expression, inputs: &[(i64, i64)]) -> Result<(), String> {
    let mut stack = Vec::new();
    for &(x, y) in inputs {
        let (called, interpreted) = (function.call(x, y), expression.interpret(x, y, &mut stack));
        if called != interpreted {
            return Err(format!("at x = {x}, y = {y} the code has {called}, the interpreter {interpreted}"));
        }
    }
    let calling = time_of(|| inputs.iter().for_each(|&(x, y)| _ = black_box(function.call(x, y))));
    let mut interpret = |x, y| expression.interpret(x, y, &mut stack);
    let interpreting = time_of(|| inputs.iter().for_each(|&(x, y)| _ = black_box(interpret(x, y))));
    let each = |time: Duration| time.as_secs_f64() * 1e9 / inputs.len() as f64;
    println!(
        "{} inputs, the same results: at best {:.2} ns each by the code, {:.2} ns by the interpreter",
        inputs.len(),
        each(calling),
        each(interpreting)
    );
    Ok(())
}

/// The shortest of some runs, of which others may have been interrupted.
fn time_of(mut work: impl FnMut()) -> Duration {
    const RUNS: usize = 5;
    let run = |_| {
        let since = Instant::now();
        work();
        since.elapsed()
    };
    (0..RUNS).map(run).min().unwrap_or_default()
}

/// The peculiar pairs first, then a fixed sequence without end.
fn pairs() -> impl Iterator<Item = (i64, i64)> {
    let peculiar = PECULIAR.into_iter().flat_map(|x| PECULIAR.map(|y| (x, y)));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as i64
    };
    peculiar.chain(std::iter::repeat_with(move || (next(), next())))
}

/// The code in hexadecimal, 24 bytes a line; of long code the beginning.
fn print_code(bytes: &[u8]) {
    const LINES: usize = 8;
    for line in bytes.chunks(24).take(LINES) {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("  {}", hex.join(" "));
    }
    if bytes.len() > 24 * LINES {
        println!("  ...");
    }
}
