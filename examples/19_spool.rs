//! A spool folder: files are tasks, and outlive the daemon that works on them, and the machine.
//!
//!     cargo run --release --example 19_spool
//!
//! Whoever has a task puts a whole file into the folder `jobs`. This program takes the files in, in the order of their names, into a log that is
//! synced to the disk. A daemon takes the tasks from there. It is killed again and again: each task is done at least once, and one
//! that is done again says so. (`ringway spool` and `ringway work` do the same on the command line.)

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use ringway::log::{Builder, Durability, ReadError, Subscription, Writer};

const TASKS: usize = 200;
const DEATHS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(folder) = std::env::args_os().nth(1) {
        return work(Path::new(&folder));
    }
    let folder = tempfile::tempdir()?;
    spool(folder.path())
}

fn spool(folder: &Path) -> Result<(), Box<dyn Error>> {
    let [jobs, taken, results] = ["jobs", "taken", "results"].map(|name| folder.join(name));
    for place in [&jobs, &taken, &results] {
        fs::create_dir(place)?;
    }
    for number in 0..TASKS {
        // Renamed into the folder when it is whole: nobody sees half a task.
        let unfinished = folder.join("unfinished");
        fs::write(&unfinished, format!("task {number}"))?;
        fs::rename(&unfinished, jobs.join(format!("{number:04}")))?;
    }
    let log = Builder::new(folder.join("log"))
        .durability(Durability::Each)
        .create()?;
    let mut writer = log.writer()?;
    for job in files(&jobs)? {
        take_in(&mut writer, &job, &taken)?;
    }
    writer.close()?;

    for death in 1..=DEATHS {
        let mut daemon = start(folder)?;
        while files(&results)?.len() < death * TASKS / (DEATHS + 1) {
            std::thread::yield_now();
        }
        daemon.kill()?;
        daemon.wait()?;
    }
    assert!(start(folder)?.wait()?.success());
    assert_eq!(files(&results)?.len(), TASKS);
    println!("{TASKS} tasks done, {DEATHS} deaths");
    Ok(())
}

/// On the disk first, and then out of the folder. Who is killed in between leaves a file that is taken in twice, and none that is lost.
fn take_in(writer: &mut Writer, job: &Path, taken: &Path) -> Result<(), Box<dyn Error>> {
    writer.append(&fs::read(job)?)?;
    fs::rename(
        job,
        taken.join(job.file_name().ok_or("a job without a name")?),
    )?;
    Ok(())
}

/// The daemon: takes up where the last one stood, whatever it died of.
fn work(folder: &Path) -> Result<(), Box<dyn Error>> {
    let log = Builder::new(folder.join("log")).open()?;
    let mut tasks = log.subscribe(&Subscription::new().name("daemon"))?;
    loop {
        let (number, task) = match tasks.recv_in_place() {
            Ok(message) => (message.number(), message.to_vec()),
            Err(ReadError::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // That somebody has begun with it is noted before anything is done.
        if tasks.begin(number)? > 1 {
            println!("again: {}", String::from_utf8_lossy(&task));
        }
        fs::write(folder.join("results").join(format!("{number:04}")), &task)?;
        tasks.acknowledge()?;
    }
}

fn start(folder: &Path) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?).arg(folder).spawn()
}

/// The files of a folder, by their names.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?;
    let mut files: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    Ok(files)
}
