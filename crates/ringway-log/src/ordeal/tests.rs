use super::*;
use crate::syncing::Nobody;

/// `RINGWAY_LOG_SEEDS=1000:5000` goes through these, and says what it went through.
#[test]
fn what_was_acknowledged_survives_kills_and_losses_of_power() {
    let asked = std::env::var("RINGWAY_LOG_SEEDS").ok();
    let bounds = asked.as_deref().and_then(|text| text.split_once(':'));
    let (first, end) = match bounds {
        Some((first, end)) => (first.parse().unwrap(), end.parse().unwrap()),
        None => (0, 120),
    };
    let mut counts = Counts::default();
    for seed in first..end {
        // Shown if it fails.
        println!("seed {seed}");
        counts += run(seed, 60);
    }
    if asked.is_some() {
        eprintln!("{counts:?}");
        return;
    }
    assert!(counts.kills > 1000 && counts.losses > 500, "{counts:?}");
    assert!(
        counts.kills_in_recovery > 100 && counts.removed > 50,
        "{counts:?}"
    );
    assert!(counts.failed_syncs > 50 && counts.full > 50, "{counts:?}");
    assert!(counts.unsure > 100, "{counts:?}");
}

/// A log of three segments that was closed in order, and its messages.
fn closed(disk: &Disk, plan: Plan) -> Vec<Vec<u8>> {
    Appender::create(disk, &plan, 0, counted).unwrap();
    let (mut appender, _) =
        Appender::open(disk.clone(), plan, None, Box::new(Nobody), counted).unwrap();
    let messages: Vec<_> = (0..60_u8).map(|fill| vec![fill; 180]).collect();
    for message in &messages {
        appender.push(1, message).unwrap();
        appender.flush().unwrap();
        appender.sync().unwrap();
    }
    appender.close().unwrap();
    messages
}

/// All messages from the first on.
fn messages(disk: &Disk) -> Vec<Vec<u8>> {
    let mut tape = Tape::open(disk.clone(), From::Oldest, None).unwrap();
    std::iter::from_fn(|| match tape.next(None) {
        Ok(Next::Message(record)) => Some(tape.payload(&record).to_vec()),
        Ok(Next::End) => None,
        other => panic!("{other:?}"),
    })
    .collect()
}

/// Each sync of a writer that begins a segment fails once. A message that finds room in the segment before comes next.
#[test]
fn who_could_not_begin_a_segment_loses_nothing_that_it_writes_afterwards() {
    let plan = Plan {
        segment_len: 8192,
        block: 1024,
        durable: true,
        repair: false,
    };
    let lens = [5000, 5000, 100, 5000, 100];
    let mut failures = 0;
    for (bad, many) in (0..6).flat_map(|bad| (2..=lens.len()).map(move |many| (bad, many))) {
        let case = format!("sync {bad} fails, {many} messages");
        let disk = Disk::new(1);
        Appender::create(&disk, &plan, 0, counted).unwrap();
        let open = |told| Appender::open(disk.clone(), plan, told, Box::new(Nobody), counted);
        let (mut appender, _) = open(None).unwrap();
        let mut given = Vec::new();
        for (fill, len) in lens.into_iter().take(many).enumerate() {
            if fill == 1 {
                disk.fail_sync(Some(bad));
            }
            let message = vec![fill as u8; len];
            match appender.push(1, &message).and_then(|_| appender.flush()) {
                Ok(()) => given.push(message),
                Err(_) => failures += 1,
            }
        }
        let told = Told {
            place: Some(appender.place()),
            ..Told::default()
        };
        drop(appender);
        disk.fail_sync(None);
        assert_eq!(messages(&disk), given, "{case}");
        let (appender, _) = open(Some(told)).expect(&case);
        assert_eq!(appender.next_number(), given.len() as u64, "{case}");
        drop(appender);
        assert_eq!(messages(&disk), given, "{case}, and a writer after it");
    }
    assert!(failures > 10, "{failures}");
}

#[test]
fn no_flipped_bit_is_taken_for_a_message_or_loses_one_silently() {
    let plan = Plan {
        segment_len: 8192,
        block: 1024,
        durable: true,
        repair: false,
    };
    let disk = Disk::new(1);
    let messages = closed(&disk, plan);
    let names = disk.list().unwrap();
    assert!(names.iter().filter(|name| name.ends_with(".seg")).count() >= 3);
    let (mut told, mut flips) = (0, 0);
    for name in names {
        let mut len = 0;
        disk.damage(&name, |bytes| len = bytes.len());
        // Each bit of what is short or new in kind, and some of each byte of the rest.
        for bit in (0..len * 8).filter(|bit| *bit < 512 || bit % 29 == 0) {
            flips += 1;
            let disk = disk.copy();
            disk.damage(&name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            let case = format!("{name}, bit {bit}");
            let read = Tape::open(disk.clone(), From::Oldest, None)
                .map_err(|_| 0)
                .and_then(|mut tape| {
                    let mut number = 0;
                    loop {
                        match tape.next(None).map_err(|_| number)? {
                            Next::Message(record) => {
                                assert_eq!(record.number, number as u64, "{case}");
                                assert_eq!(tape.payload(&record), messages[number], "{case}");
                                number += 1;
                            }
                            Next::End => return Ok(number),
                            _ => return Err(number),
                        }
                    }
                });
            told += u64::from(read.is_err());
            if read.is_ok() {
                assert_eq!(read, Ok(messages.len()), "{case}");
            }
            // A writer either refuses, or loses nothing.
            if let Ok((appender, _)) = Appender::open(disk, plan, None, Box::new(Nobody), counted) {
                assert_eq!(appender.next_number(), messages.len() as u64, "{case}");
            }
        }
    }
    assert!(told > 1000 && flips > 5_000, "{told} of {flips}");
}

#[test]
fn what_is_damaged_is_cut_only_on_request_and_kept() {
    let plan = Plan {
        segment_len: 64 << 10,
        block: 1024,
        durable: true,
        repair: false,
    };
    let disk = Disk::new(1);
    closed(&disk, plan);
    let last = crate::names::segment(0);
    // In the payload of message 10: each has a mark before it but the first.
    disk.damage(&last, |bytes| {
        let at = bytes.windows(180).position(|window| *window == [10; 180]);
        bytes[at.unwrap()] = 0;
    });
    let refused = Appender::open(disk.clone(), plan, None, Box::new(Nobody), counted);
    assert!(matches!(refused, Err(Trouble::Damaged { number: 10, .. })));
    let repair = Plan {
        repair: true,
        ..plan
    };
    let (appender, recovery) =
        Appender::open(disk.clone(), repair, None, Box::new(Nobody), counted).unwrap();
    assert_eq!(appender.next_number(), 10);
    assert!(recovery.cut > 50 * 180);
    let kept = disk.open("00000000000000000010.cut", false).unwrap();
    let mut bytes = vec![0; 64 << 10];
    crate::files::read_full(&kept, &mut bytes, 0).unwrap();
    assert!(bytes.windows(180).any(|window| *window == [59; 180]));
    drop(appender);
    Appender::open(disk, plan, None, Box::new(Nobody), counted).unwrap();
}
