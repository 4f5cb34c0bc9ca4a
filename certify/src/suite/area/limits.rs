//! Limits: set in the container's control group, and enforced.

use crate::suite::case::{Case, Proof, case};
use crate::suite::check::{fail, holds, same};
use crate::suite::machine::{Controller, Group};
use crate::suite::patience::until;
use crate::suite::process::Process;
use crate::suite::scene::Scene;

pub(super) const CASES: &[Case] = &[
    case(
        "limits.memory-is-set",
        &["engine.limits.memory"],
        memory_is_set,
    ),
    case(
        "limits.memory-overrun-is-137",
        &["engine.limits.memory", "engine.limits.oom"],
        oom,
    ),
    case(
        "limits.memory-binds-exec-too",
        &["engine.limits.exec"],
        oom_exec,
    ),
    case("limits.pids-are-set", &["engine.limits.pids"], pids_are_set),
    case(
        "limits.pids-stop-a-fork-bomb",
        &["engine.limits.pids"],
        fork_bomb,
    ),
    case("limits.cpus-are-set", &["engine.limits.cpus"], cpus_are_set),
    case("limits.cpus-throttle", &["engine.limits.cpus"], throttle),
    case(
        "limits.cpu-shares-are-set",
        &["engine.limits.cpu-shares"],
        shares,
    ),
    case("limits.ulimits-are-set", &["engine.limits.ulimit"], ulimits),
    case(
        "limits.the-group-is-the-containers-own",
        &["engine.cgroup.own"],
        own_group,
    ),
    case(
        "limits.exec-joins-the-group",
        &["engine.limits.exec"],
        exec_group,
    ),
    case(
        "limits.the-group-goes-with-the-container",
        &["engine.cgroup.removed"],
        group_goes,
    ),
];

const MIB: u64 = 1 << 20;

fn memory_is_set(scene: &Scene<'_>) -> Proof {
    scene.machine().needs(Controller::Memory)?;
    let container = scene.start(&["--memory", "64m"], &["pause"])?;
    let group = container
        .process
        .group(scene.machine(), Controller::Memory)?;
    let limit = group.read("memory.limit_in_bytes", "memory.max")?;
    same("memory limit in bytes", limit, (64 * MIB).to_string())
}

fn oom(scene: &Scene<'_>) -> Proof {
    scene.machine().needs(Controller::Memory)?;
    // Four times the limit: more than the swap that goes with it by default holds.
    let container = scene.start_unready(&["--memory", "48m"], &["alloc", "256"])?;
    same("exit status", container.wait()?, 137)?;
    same("output", container.logs()?.out(), String::new())?;
    same("OOMKilled", container.inspect()?.state.oom_killed, true)
}

fn oom_exec(scene: &Scene<'_>) -> Proof {
    scene.machine().needs(Controller::Memory)?;
    let container = scene.start(&["--memory", "48m"], &["pause"])?;
    let group = container
        .process
        .group(scene.machine(), Controller::Memory)?;
    let before = oom_events(&group)?;
    let done = container.exec(&[], &["alloc", "256"])?;
    same("exit status", done.code(), 137)?;
    let after = oom_events(&group)?;
    holds(after > before, || {
        format!("the group counted {before} times out of memory before, {after} after")
    })
}

/// How often the group was out of memory: killed processes where the kernel counts them
/// (v2; v1 since 4.13), else failures to charge.
fn oom_events(group: &Group) -> Proof<u64> {
    let text = group.read("memory.oom_control", "memory.events")?;
    let killed = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    let count = match (killed, group) {
        (Some(count), _) => count.to_owned(),
        (None, Group::V1(_)) => group.read("memory.failcnt", "")?,
        (None, Group::V2(_)) => return fail(format!("memory.events counts no kills: {text:?}")),
    };
    count
        .trim()
        .parse()
        .or_else(|_| fail(format!("no number: {count:?}")))
}

fn pids_are_set(scene: &Scene<'_>) -> Proof {
    scene.machine().needs(Controller::Pids)?;
    let container = scene.start(&["--pids-limit", "17"], &["pause"])?;
    let group = container.process.group(scene.machine(), Controller::Pids)?;
    same(
        "pids.max",
        group.read("pids.max", "pids.max")?.as_str(),
        "17",
    )
}

fn fork_bomb(scene: &Scene<'_>) -> Proof {
    scene.machine().needs(Controller::Pids)?;
    let text = scene.says(&["--pids-limit", "12"], &["forks", "40"])?;
    let (started, why) = text.trim().split_once(' ').unwrap_or_default();
    same("what ended it", why, "EAGAIN")?;
    let started: u32 = started.parse().unwrap_or(u32::MAX);
    // One of the twelve is the bomb itself; an engine may need one or two for its own.
    holds((8..=11).contains(&started), || {
        format!("{started} processes were started under a limit of 12")
    })
}

fn cpus_are_set(scene: &Scene<'_>) -> Proof {
    scene.machine().needs(Controller::Cpu)?;
    let container = scene.start(&["--cpus", "0.5"], &["pause"])?;
    let group = container.process.group(scene.machine(), Controller::Cpu)?;
    let limit = match &group {
        Group::V1(_) => {
            group.read("cpu.cfs_quota_us", "")? + " " + &group.read("cpu.cfs_period_us", "")?
        }
        Group::V2(_) => group.read("", "cpu.max")?,
    };
    same(
        "quota and period in microseconds",
        limit.as_str(),
        "50000 100000",
    )
}

fn throttle(scene: &Scene<'_>) -> Proof {
    scene.machine().needs(Controller::Cpu)?;
    let container = scene.start(&["--cpus", "0.1"], &["burn"])?;
    let group = container.process.group(scene.machine(), Controller::Cpu)?;
    until("the kernel throttles the container", || {
        let stat = group.read("cpu.stat", "cpu.stat").ok()?;
        let times = stat
            .lines()
            .find_map(|line| line.strip_prefix("nr_throttled "))?;
        (times != "0").then_some(())
    })
}

fn shares(scene: &Scene<'_>) -> Proof {
    scene.machine().needs(Controller::Cpu)?;
    let container = scene.start(&["--cpu-shares", "512"], &["pause"])?;
    let group = container.process.group(scene.machine(), Controller::Cpu)?;
    match &group {
        Group::V1(_) => same("cpu.shares", group.read("cpu.shares", "")?.as_str(), "512"),
        Group::V2(_) => {
            let weight = group.read("", "cpu.weight")?;
            // 20 by the linear conversion of 2020, 59 by the one that maps 1024 to 100
            // (runc 1.3.2, crun 1.23).
            holds(["20", "58", "59"].contains(&weight.as_str()), || {
                format!("512 shares became cpu.weight {weight}, where 20 or 59 was expected")
            })
        }
    }
}

fn ulimits(scene: &Scene<'_>) -> Proof {
    let container = scene.start(
        &["--ulimit", "nofile=100:200", "--ulimit", "core=0"],
        &["pause"],
    )?;
    let pair = |soft: &str, hard: &str| (soft.to_owned(), hard.to_owned());
    same(
        "open files",
        container.process.limit("Max open files")?,
        pair("100", "200"),
    )?;
    same(
        "core size",
        container.process.limit("Max core file size")?,
        pair("0", "0"),
    )
}

/// The controllers that can be used on this machine; without any, the case is skipped.
fn here(scene: &Scene<'_>) -> Proof<Vec<Controller>> {
    let all = [Controller::Memory, Controller::Cpu, Controller::Pids];
    let here = all.map(|controller| scene.machine().needs(controller).map(|()| controller));
    if let [Err(skip), Err(_), Err(_)] = here {
        return Err(skip);
    }
    Ok(here.into_iter().flatten().collect())
}

/// A limit for each.
fn options(controllers: &[Controller]) -> Vec<&'static str> {
    controllers
        .iter()
        .flat_map(|controller| match controller {
            Controller::Memory => ["--memory", "64m"],
            Controller::Cpu => ["--cpus", "1"],
            Controller::Pids => ["--pids-limit", "30"],
        })
        .collect()
}

fn own_group(scene: &Scene<'_>) -> Proof {
    let controllers = here(scene)?;
    let container = scene.start(&options(&controllers), &["pause"])?;
    let own = Process::own();
    let standard = scene.standard()?;
    for controller in controllers {
        let group = container.process.group(scene.machine(), controller)?;
        let ours = own.group(scene.machine(), controller)?;
        holds(group != ours, || {
            format!("the container stayed in our own group {group:?}")
        })?;
        let other = standard.group(scene.machine(), controller)?;
        holds(group != other, || {
            format!("two containers share the group {group:?}")
        })?;
    }
    Ok(())
}

fn exec_group(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause"])?;
    let (second, running) = container.exec_beside(&["pause"])?;
    let groups = second.read("cgroup")?;
    same(
        "groups of a process of `exec`",
        groups,
        container.process.read("cgroup")?,
    )?;
    drop(running);
    Ok(())
}

fn group_goes(scene: &Scene<'_>) -> Proof {
    let controllers = here(scene)?;
    let container = scene.start(&options(&controllers), &["pause"])?;
    let mut groups = Vec::new();
    for controller in controllers {
        groups.push(container.process.group(scene.machine(), controller)?);
    }
    container.verb_says("rm", &["-f"])?;
    for group in groups {
        until(&format!("{} is gone", group.folder().display()), || {
            (!group.folder().exists()).then_some(())
        })?;
    }
    Ok(())
}
