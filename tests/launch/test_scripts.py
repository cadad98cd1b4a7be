"""The launch scripts, dry and for real, on a machine whose other commands are fakes."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

from tests.helpers.machine import ROOT, Machine, check_golden

RUN = {"CONFIG": "configs/six_dim.py", "WORKDIR": "/mnt/share/runs/six_dim"}
TPU = RUN | {
    "TPU_NAME": "music",
    "ZONE": "us-west4-a",
    "ACCELERATOR": "v5litepod-16",
    "VERSION": "v2-alpha-tpuv5-lite",
    "RETRY_SECONDS": "0",
}
GKE = RUN | {
    "NAME": "music",
    "IMAGE": "europe-docker.pkg.dev/music/images/jaxsim:1",
    "CLAIM": "share",
    "ACCELERATOR": "tpu-v5-lite-podslice",
    "TOPOLOGY": "4x4",
    "HOSTS": "4",
    "CHIPS": "4",
}
# One that a shell would split, and expand.
OPTIONS = ("--config.batch_size=4096", "--config.dimensions=('tempo', \"key\")")

DRY_RUNS = {  # golden file: script, variables, arguments
    "local.txt": ("local.sh", RUN, ("--dry-run", *OPTIONS)),
    "gpu_node.txt": ("gpu_node.sh", RUN, ("--dry-run", *OPTIONS)),
    "slurm.txt": ("slurm.sbatch", RUN, ("--dry-run", *OPTIONS)),
    "tpu_pod.txt": (
        "tpu_pod.sh",
        TPU | {"SPOT": "1", "PROJECT": "music", "SHARE": "10.0.0.2:/jaxsim"},
        ("--dry-run", "--delete", *OPTIONS),
    ),
    "tpu_pod_kept.txt": ("tpu_pod.sh", TPU, ("--dry-run",)),
    "gke_tpu.txt": ("gke.sh", GKE, ("--dry-run", "tpu", *OPTIONS)),
    "gke_gpu.txt": (
        "gke.sh",
        GKE | {"ACCELERATOR": "nvidia-h100-80gb", "HOSTS": "2", "CHIPS": "8"},
        ("--dry-run", "gpu", *OPTIONS),
    ),
}


def test_shellcheck_finds_nothing():
    installed = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
    shellcheck = shutil.which("shellcheck", path=installed)
    assert shellcheck, "the extra `test` installs it"
    scripts = [*sorted((ROOT / "launch").glob("*.sh")), ROOT / "launch" / "slurm.sbatch"]
    found = subprocess.run(
        [shellcheck, "-x", *scripts], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert not found.stdout


@pytest.mark.parametrize("name", DRY_RUNS)
def test_dry_run_prints_every_command_and_runs_none(machine: Machine, name: str):
    script, variables, arguments = DRY_RUNS[name]
    for command in ("gcloud", "kubectl", "srun", "scontrol", "nvidia-smi", "python"):
        machine.fake(command)
    code, output, errors = machine.run(script, *arguments, **variables)
    assert (code, errors) == (0, "")
    check_golden(output, name)
    assert machine.called() == ""
    assert not (machine.tree / "build").exists()
    subprocess.run(["bash", "-n"], input=output, text=True, check=True)  # it can be pasted


@pytest.mark.parametrize("name", DRY_RUNS)
def test_a_missing_variable_is_named(machine: Machine, name: str):
    script, variables, arguments = DRY_RUNS[name]
    optional = {"RETRY_SECONDS", "SPOT", "PROJECT", "SHARE"}
    if script == "gke.sh" and "gpu" in arguments:
        optional.add("TOPOLOGY")
    for missing in variables.keys() - optional:
        rest = {key: value for key, value in variables.items() if key != missing}
        code, output, errors = machine.run(script, *arguments, **rest)
        assert code != 0
        assert f"{missing}: set it to " in errors
        assert not output


def test_local_training_gets_the_arguments_as_they_are(machine: Machine):
    machine.fake("python")
    machine.answer("python", "75")
    code, _, _ = machine.run("local.sh", *OPTIONS, **RUN)
    assert code == 75
    expected = ["python", "-m", "jaxsim.train", f"--config={RUN['CONFIG']}"]
    assert shlex.split(machine.called()) == [*expected, f"--workdir={RUN['WORKDIR']}", *OPTIONS]


# ---- one machine with GPUs ----


def gpu_machine(machine: Machine) -> None:
    machine.fake("nvidia-smi")
    for name in ("python", "pip"):
        machine.fake(name, path=machine.tree / ".venv" / "bin" / name)


@pytest.mark.parametrize(
    ("codes", "expected", "trainings"),
    [
        (["0"], 0, 1),
        (["1"], 1, 1),  # wrong input: the same again would help nobody
        (["2"], 2, 1),  # wrong options: likewise
        (["130"], 130, 1),
        (["127"], 127, 1),
        (["75", "75", "75", "75", "0"], 0, 5),  # asked to stop: as often as it likes
        (["137", "0"], 0, 2),
        (["137", "134", "0"], 134, 2),  # more crashes than RESTARTS
    ],
)
def test_gpu_node_restarts_what_a_restart_helps(machine: Machine, codes, expected, trainings):
    gpu_machine(machine)
    machine.answer("python", "0", *codes)  # the first call looks for GPUs
    code, _, errors = machine.run("gpu_node.sh", *OPTIONS, RESTARTS="1", **RUN)
    assert code == expected
    assert machine.called().count("jaxsim.train") == trainings
    if trainings == 1:
        check_golden(machine.called(), "gpu_node_called.txt")
        assert not errors


def test_gpu_node_without_a_gpu(machine: Machine):
    gpu_machine(machine)
    machine.answer("nvidia-smi", "9")
    code, _, errors = machine.run("gpu_node.sh", **RUN)
    assert code == 1
    assert "error: nvidia-smi finds no GPU" in errors
    assert machine.words() == ["nvidia-smi"]


def test_a_signal_to_gpu_node_goes_to_the_training_which_saves(machine: Machine):
    gpu_machine(machine)
    started = machine.folder / "started"
    (machine.tree / ".venv/bin/python").write_text(
        f"#!/bin/bash\n[[ $1 == -c ]] && exit\n"
        f"trap 'sleep 0.3; touch {machine.folder}/saved; exit 75' TERM\n"
        f"touch {started}; while true; do sleep 0.05; done\n"
    )
    process = machine.start("gpu_node.sh", **RUN)
    wait_for(started.exists)
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 75
    assert (machine.folder / "saved").exists()


def wait_for(condition, *, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# ---- Slurm ----


@pytest.mark.parametrize(
    ("trained", "restart_count", "requeued"),
    [
        ("0", "0", False),
        ("1", "0", False),
        ("75", "50", True),
        ("137", "1", True),
        ("137", "2", False),
    ],
)
def test_slurm_job_goes_back_to_the_queue(machine: Machine, trained, restart_count, requeued):
    machine.fake("srun")
    machine.fake("scontrol")
    machine.answer("srun", trained)
    job = {"SLURM_JOB_ID": "17", "SLURM_RESTART_COUNT": restart_count, "RESTARTS": "2"}
    job["SLURM_SUBMIT_DIR"] = str(machine.tree)
    code, _, _ = machine.run("slurm.sbatch", *OPTIONS, **RUN, **job)
    assert code == int(trained)
    assert machine.words() == (["srun", "scontrol"] if requeued else ["srun"])
    assert shlex.split(machine.called().splitlines()[0])[-2:] == list(OPTIONS)
    if requeued:
        assert machine.called().splitlines()[1] == "scontrol requeue 17"


def test_slurm_script_outside_of_a_job(machine: Machine):
    code, _, errors = machine.run("slurm.sbatch", **RUN)
    assert code == 1
    assert "error: this is not a Slurm job; submit it" in errors


# ---- a TPU slice ----

CREATED = ["list", "create", "list"]
TRAINED = ["scp", "ssh", "ssh"]  # copied, installed, trained


@pytest.fixture
def laptop(machine: Machine) -> Machine:
    """A checkout with a tracked, an untracked and an ignored file."""
    machine.fake("gcloud")
    for name, text in (("kept.py", "1"), ("new.py", "2"), ("runs", "3"), (".gitignore", "runs\n")):
        (machine.tree / name).write_text(text)
    subprocess.run(["git", "init", "--quiet"], cwd=machine.tree, check=True)
    subprocess.run(["git", "add", "kept.py", ".gitignore"], cwd=machine.tree, check=True)
    return machine


def test_a_slice_is_created_used_and_deleted(laptop: Machine):
    laptop.answer("gcloud list", "0", "0 READY")
    variables = TPU | {"SPOT": "1", "PROJECT": "music", "SHARE": "10.0.0.2:/jaxsim"}
    code, _, errors = laptop.run("tpu_pod.sh", "--delete", *OPTIONS, **variables)
    assert (code, errors) == (0, "")
    check_golden(laptop.called(), "tpu_pod_called.txt")
    assert laptop.words() == [*CREATED, *TRAINED, "delete"]
    packed = subprocess.run(
        ["tar", "-tzf", "build/tree.tgz"], cwd=laptop.tree, capture_output=True, text=True
    ).stdout.split()
    assert {"kept.py", "new.py", "launch/tpu_worker.sh"} <= set(packed)
    assert "runs" not in packed


def test_a_slice_that_is_there_is_used_and_kept(laptop: Machine):
    laptop.answer("gcloud list", "0 READY")
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run([*git, "commit", "--quiet", "-m", "x"], cwd=laptop.tree, check=True)
    code, _, errors = laptop.run("tpu_pod.sh", **TPU)
    assert code == 0
    assert laptop.words() == ["list", *TRAINED]
    described = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12"], cwd=laptop.tree, capture_output=True
    )
    commit = described.stdout.decode().strip()
    assert f"'--command=JAXSIM_COMMIT={commit} jaxsim/launch/" in laptop.called()
    assert "the slice still exists and costs money" in errors
    assert "gcloud compute tpus tpu-vm delete music --zone=us-west4-a" in errors


def test_after_a_preemption_in_mid_run_all_starts_again(laptop: Machine):
    laptop.answer("gcloud list", "0 READY", "0 PREEMPTED", "0 PREEMPTED", "0", "0", "0 READY")
    laptop.answer("gcloud ssh", "0", "255")
    laptop.answer("gcloud create", "1", "0")  # no capacity at first
    code, _, errors = laptop.run("tpu_pod.sh", RESTARTS="0", **TPU)
    assert code == 0
    assert laptop.words() == [
        *("list", *TRAINED, "list"),
        *("list", "delete", "list", "create", "list", "create", "list", *TRAINED),
    ]
    assert "music was preempted" in errors
    assert "no slice is available; next attempt in 0 s" in errors


@pytest.mark.parametrize(
    ("codes", "expected", "trainings"),
    [(["75", "0"], 0, 2), (["1"], 1, 1), (["134", "0"], 0, 2), (["134", "134"], 134, 2)],
)
def test_exit_codes_of_the_workers(laptop: Machine, codes, expected, trainings):
    laptop.answer("gcloud list", *["0 READY"] * 9)
    laptop.answer("gcloud ssh", *(answer for code in codes for answer in ("0", code)))
    code, _, _ = laptop.run("tpu_pod.sh", "--delete", RESTARTS="1", **TPU)
    assert code == expected
    assert laptop.words().count("scp") == trainings
    assert laptop.words()[-1] == "delete"


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"gcloud list": "1"}, "gcloud cannot list the slices in us-west4-a"),
        ({"gcloud create": "1"}, "gcloud cannot create music"),
        ({"gcloud list": "0 STOPPED"}, "music is STOPPED; start it"),
        ({"gcloud list": "0 PREEMPTED", "gcloud delete": "1"}, "gcloud cannot delete music"),
    ],
)
def test_a_slice_that_cannot_be_had(laptop: Machine, answers, message):
    for key, answer in answers.items():
        laptop.answer(key, answer)
    code, _, errors = laptop.run("tpu_pod.sh", **TPU)
    assert code == 1
    assert f"error: {message}" in errors
    assert "scp" not in laptop.words()


@pytest.mark.parametrize("failing", ["scp", "ssh"])
def test_an_installation_that_fails_is_not_trained_on(laptop: Machine, failing: str):
    laptop.answer("gcloud list", *["0 READY"] * 9)
    laptop.answer(f"gcloud {failing}", "1")
    code, _, _ = laptop.run("tpu_pod.sh", **TPU)
    assert code == 1
    assert laptop.words() == ["list", *TRAINED[: TRAINED.index(failing) + 1], "list"]


# ---- a worker of a TPU slice ----


@pytest.fixture
def worker(machine: Machine) -> Machine:
    """Its training says that it starts, and ends when a file `end` gives its exit code."""
    python = machine.tree / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    folder = shlex.quote(str(machine.folder))
    python.write_text(
        f"#!/bin/bash\ncd {folder}\n"
        'echo "training $*" | tee -a starts\n'
        "until [[ -e end ]]; do sleep 0.05; done\nexit $(<end)\n"
    )
    python.chmod(0o755)
    return machine


def test_a_worker_trains_shows_the_log_and_exits_with_the_code(worker: Machine):
    (worker.folder / "end").write_text("75")
    code, output, _ = worker.run("tpu_worker.sh", "train", *OPTIONS)
    assert code == 75
    assert output == f"training -m jaxsim.train --distributed {' '.join(OPTIONS)}\n"


def test_a_broken_connection_leaves_the_training_alone(worker: Machine):
    starts = worker.folder / "starts"
    first = worker.start("tpu_worker.sh", "train", *OPTIONS)
    wait_for(starts.exists)
    first.send_signal(signal.SIGHUP)
    first.wait(timeout=20)
    other, _, errors = worker.run("tpu_worker.sh", "train", "--config.seed=1")
    assert other == 1
    assert "error: a training with different options is running here: --config.batch_size" in errors
    second = worker.start("tpu_worker.sh", "train", *OPTIONS)
    time.sleep(0.2)
    (worker.folder / "end").write_text("0")
    output, _ = second.communicate(timeout=20)
    assert (second.returncode, output.count("training")) == (0, 1)
    assert starts.read_text().count("training") == 1


def test_a_killed_training_is_a_crash(worker: Machine):
    process = worker.start("tpu_worker.sh", "train")
    wait_for((worker.folder / "starts").exists)
    pid = int((worker.tree / "build" / "train.pid").read_text())
    os.killpg(pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 137, errors


# ---- Kubernetes ----


@pytest.mark.parametrize("kind", ["tpu", "gpu"])
def test_manifests_say_what_was_asked(machine: Machine, kind: str):
    machine.fake("kubectl", keep_input=True)
    code, _, _ = machine.run("gke.sh", kind, *OPTIONS, "--x=$(HOME)", **GKE)
    assert code == 0
    assert machine.called() == "kubectl create --filename=-\n"
    manifest = yaml.safe_load((machine.folder / "input").read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert manifest["metadata"]["name"] == "music"
    job = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert (job["completions"], job["parallelism"], job["backoffLimit"]) == (4, 4, 0)
    container = job["template"]["spec"]["containers"][0]
    run = [f"--config={RUN['CONFIG']}", f"--workdir={RUN['WORKDIR']}"]
    assert container["args"] == ["--distributed", *run, *OPTIONS, "--x=$$(HOME)"]
    resource = {"tpu": "google.com/tpu", "gpu": "nvidia.com/gpu"}[kind]
    assert container["resources"]["limits"] == {resource: "4"}
    # Exit code 75 and machines taken away: a failure of the Job that does not count.
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [75]
    rule = manifest["spec"]["failurePolicy"]["rules"][0]
    assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    if kind == "gpu":
        environment = {each["name"]: each.get("value") for each in container["env"]}
        assert environment["JAX_COORDINATOR_ADDRESS"] == "music-workers-0-0.music:8476"
        assert environment["JAX_NUM_PROCESSES"] == "4"
        assert "JAX_PROCESS_ID" in environment


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("HOSTS", "four", "HOSTS is 'four', expected a number"), ("NAME", 'a"\nb', "NAME is ")],
)
def test_a_field_that_would_break_the_manifest(machine: Machine, name, value, message):
    machine.fake("kubectl")
    code, _, errors = machine.run("gke.sh", "tpu", **GKE | {name: value})
    assert code == 1
    assert f"error: {message}" in errors
    assert not machine.called()


def test_kubectl_that_fails(machine: Machine):
    machine.fake("kubectl")
    machine.answer("kubectl", "1")
    code, output, errors = machine.run("gke.sh", "gpu", **GKE)
    assert (code, output) == (1, "")
    assert "error: kubectl could not create jobset/music" in errors


def test_neither_tpu_nor_gpu(machine: Machine):
    code, _, errors = machine.run("gke.sh", "cpu", **GKE)
    assert code == 1
    assert "error: expected tpu or gpu, found 'cpu'" in errors
