//! What a run was made on.

use std::fs;

use serde_json::{Value, json};

/// A record that stands before a run's rows.
pub fn describe(seed: u64, rounds: u32) -> Value {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = processors.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or("", |(_, value)| value.trim()).to_owned()
    };
    let read = |path: &str| {
        fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let caches: Vec<String> = (0..8)
        .map(|index| format!("/sys/devices/system/cpu/cpu0/cache/index{index}"))
        .filter(|path| fs::exists(path).unwrap_or(false))
        .map(|path| {
            let part = |name: &str| read(&format!("{path}/{name}"));
            let (level, kind, size) = (part("level"), part("type"), part("size"));
            format!(
                "L{level} {kind} {size}, shared by processors {}",
                part("shared_cpu_list")
            )
        })
        .collect();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory.lines().next().unwrap_or_default();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    json!({
        "run": {
            "seed": seed,
            "rounds": rounds,
            "seconds_since_1970": now.map_or(0, |time| time.as_secs()),
        },
        "machine": {
            "processor": field("model name"),
            "family_model_stepping": [field("cpu family"), field("model"), field("stepping")],
            "processors": processors.matches("processor\t").count(),
            "virtual": field("flags").split(' ').any(|flag| flag == "hypervisor"),
            "caches": caches,
            "memory": total.trim_start_matches("MemTotal:").trim(),
            "kernel": format!("{} {}", read("/proc/sys/kernel/ostype"), read("/proc/sys/kernel/osrelease")),
            "load_before": read("/proc/loadavg"),
        },
        "aeron": cfg!(feature = "aeron"),
        "boost": cfg!(boost),
    })
}
