//! The process's own metrics, read from `/proc/self` when they are asked for; CPU time keeps its fractions.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGauge};

use crate::core::Wall;

/// Keys of the auxiliary vector (`getauxval(3)`).
const AT_PAGESZ: u64 = 6;
const AT_CLKTCK: u64 = 17;

/// Collects CPU time, memory, file descriptors, threads and start time of this process.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    ticks_per_second: f64,
    page_size: i64,
    cpu: Counter,
    resident: IntGauge,
    virtual_size: IntGauge,
    threads: IntGauge,
    open_fds: IntGauge,
    start_time: Gauge,
}

/// What is read from `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: i64,
    virtual_bytes: i64,
    resident_pages: i64,
}

impl ProcessCollector {
    /// A collector for the process that started at `started`.
    pub(super) fn new(started: Wall) -> Result<Self, prometheus::Error> {
        let auxv = fs::read("/proc/self/auxv").unwrap_or_default();
        let start_time = Gauge::new(
            "process_start_time_seconds",
            "Start time of the process since the Unix epoch in seconds.",
        )?;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of our age fit 53 bits")]
        start_time.set(started.0 as f64 / 1000.0);
        #[expect(clippy::cast_precision_loss, reason = "a hundred, or a thousand and some")]
        let ticks_per_second = auxiliary(&auxv, AT_CLKTCK).unwrap_or(100).max(1) as f64;
        Ok(Self {
            ticks_per_second,
            page_size: auxiliary(&auxv, AT_PAGESZ)
                .and_then(|size| i64::try_from(size).ok())
                .unwrap_or(4096),
            cpu: Counter::new(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
            )?,
            resident: IntGauge::new("process_resident_memory_bytes", "Resident memory size in bytes.")?,
            virtual_size: IntGauge::new("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
            threads: IntGauge::new("process_threads", "Number of OS threads in the process.")?,
            open_fds: IntGauge::new("process_open_fds", "Number of open file descriptors.")?,
            start_time,
        })
    }

    fn parts(&self) -> [&dyn Collector; 6] {
        [
            &self.cpu,
            &self.resident,
            &self.virtual_size,
            &self.threads,
            &self.open_fds,
            &self.start_time,
        ]
    }

    fn refresh(&self) {
        if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(parse) {
            #[expect(clippy::cast_precision_loss, reason = "ticks of a process's life fit 53 bits")]
            let cpu = stat.cpu_ticks as f64 / self.ticks_per_second;
            self.cpu.inc_by((cpu - self.cpu.get()).max(0.0));
            self.resident.set(stat.resident_pages.saturating_mul(self.page_size));
            self.virtual_size.set(stat.virtual_bytes);
            self.threads.set(stat.threads);
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory being read.
            let open = i64::try_from(entries.count()).unwrap_or(i64::MAX);
            self.open_fds.set(open.saturating_sub(1));
        }
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh();
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}

/// The value of `key` in the auxiliary vector: pairs of native words.
fn auxiliary(auxv: &[u8], key: u64) -> Option<u64> {
    let mut words = auxv.chunks_exact(size_of::<usize>()).map(|bytes| {
        let word = bytes.try_into().map(usize::from_ne_bytes).unwrap_or_default();
        u64::try_from(word).unwrap_or_default()
    });
    while let (Some(found), Some(value)) = (words.next(), words.next()) {
        if found == key {
            return Some(value);
        }
    }
    None
}

/// Reads `proc_pid_stat(5)`. The command's name may hold blanks and brackets, so counting starts after the last bracket, at field 3.
fn parse(stat: &str) -> Option<Stat> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3);
    let (user, system): (u64, u64) = (field(14)?.parse().ok()?, field(15)?.parse().ok()?);
    Some(Stat {
        cpu_ticks: user.saturating_add(system),
        threads: field(20)?.parse().ok()?,
        virtual_bytes: field(23)?.parse().ok()?,
        resident_pages: field(24)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_although_the_name_is_odd() {
        let line =
            "7 (a) b) (c) S 1 7 7 0 -1 4194304 300 0 0 0 12 30 0 0 20 0 3 0 99 5242880 1280 18446744073709551615 1";
        let stat = Stat {
            cpu_ticks: 42,
            threads: 3,
            virtual_bytes: 5_242_880,
            resident_pages: 1280,
        };
        assert_eq!(parse(line), Some(stat));
        assert_eq!(parse("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_memory_files_and_a_start() {
        let collector = ProcessCollector::new(Wall(1_767_225_600_500)).unwrap();
        let families = collector.collect();
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).unwrap();
            let metric = &family.get_metric()[0];
            metric.get_gauge().get_value() + metric.get_counter().get_value()
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_threads") >= 1.0);
        assert!((value("process_start_time_seconds") - 1_767_225_600.5).abs() < 0.01);
        assert!(value("process_cpu_seconds_total") < 3600.0);
    }

    #[test]
    fn the_tick_is_read_from_the_auxiliary_vector() {
        let words: Vec<u8> = [6_usize, 4096, 17, 250, 0, 0]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        assert_eq!(auxiliary(&words, AT_CLKTCK), Some(250));
        assert_eq!(auxiliary(&words, 99), None);
        assert_eq!(auxiliary(&[], AT_CLKTCK), None);
    }
}
