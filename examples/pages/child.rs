//! A child of `fork` that reports once it is asked, and stays until it is let go.

use std::io::{self, PipeReader, PipeWriter, Read, Write};

/// The child; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    process: libc::pid_t,
    /// Closed to let the child go.
    questions: Option<PipeWriter>,
    answers: PipeReader,
}

impl Child {
    /// Forks. `report` runs in the child, when it is [asked](Self::ask).
    pub(crate) fn fork(report: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<Self> {
        let (asked, questions) = io::pipe()?;
        let (answers, answer) = io::pipe()?;
        // SAFETY: this example starts no threads, so the child has all locks, and the heap, as they should be.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                drop((questions, answers));
                let status = i32::from(serve(report, asked, answer).is_err());
                // SAFETY: ends the child at once, with nothing of the parent's run or written a second time.
                unsafe { libc::_exit(status) }
            }
            process => Ok(Self { process, questions: Some(questions), answers }),
        }
    }

    /// What the child reports.
    pub(crate) fn ask(&mut self) -> io::Result<Vec<u8>> {
        self.questions.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write_all(b"?")?;
        let mut answer = Vec::new();
        self.answers.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.questions = None;
        // SAFETY: a child of this process that nobody has waited for; the status is not wanted.
        unsafe { libc::waitpid(self.process, std::ptr::null_mut(), 0) };
    }
}

fn serve(
    report: impl FnOnce() -> io::Result<Vec<u8>>,
    mut asked: PipeReader,
    mut answer: PipeWriter,
) -> io::Result<()> {
    asked.read_exact(&mut [0])?;
    answer.write_all(&report()?)?;
    drop(answer);
    // Ends when the parent closes its side.
    asked.read_to_end(&mut Vec::new())?;
    Ok(())
}
