"""bench/gpu where there is no GPU: what it does anyway, what it names, and that its filters pick the tests they mean.
Needs COTERIE_EMULATED_TESTS, the tests on the emulated device, which has the names of those on a GPU: executables, by commas."""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "bench"))


def load():
    loader = importlib.machinery.SourceFileLoader("gpu", str(ROOT / "bench" / "gpu"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("gpu", loader))
    loader.exec_module(module)
    return module


class WithoutGpu(unittest.TestCase):
    def run_bench(self, statuses):
        """Exit status and output, with a pack whose executables of the emulated device end with these statuses."""
        gpu = load()
        with tempfile.TemporaryDirectory() as folder:
            gpu.PACK, gpu.RELEASE_TESTS, gpu.gpu_name = pathlib.Path(folder), pathlib.Path(folder) / "no build", lambda: None
            gpu.ARCHIVE = gpu.PACK / "none was brought"
            (gpu.PACK / "commit").write_text("commit\n")
            for name, status in statuses.items():
                (gpu.PACK / name).write_text(f"#!/bin/sh\nexit {status}\n")
                (gpu.PACK / name).chmod(0o755)
            sys.argv = ["gpu", "--out", f"{folder}/results"]
            with contextlib.redirect_stdout(io.StringIO()) as output:
                status = gpu.main()
            self.assertFalse((gpu.PACK / "results").exists(), "results of a machine that measured nothing")
        return gpu, status, output.getvalue()

    def test_runs_what_needs_none_and_names_the_rest(self):
        gpu, status, output = self.run_bench(dict.fromkeys(load().EMULATED, 0))
        self.assertEqual(status, 0, output)
        self.assertIn("== emulated\n", output)
        needing = [stage for stage, needs_gpu, _ in gpu.stages(None, {"stages": {}}) if needs_gpu]
        self.assertGreaterEqual(len(needing), 6)
        for stage in needing:
            self.assertIn(f"== {stage}: not run, there is no GPU here", output)

    def test_unpacks_what_was_brought_once(self):
        gpu = load()
        with tempfile.TemporaryDirectory() as folder:
            gpu.PACK, gpu.ARCHIVE = pathlib.Path(folder) / "gpu", pathlib.Path(folder) / "gpu.tgz"
            with self.assertRaises(SystemExit):
                gpu.unpack()

            def bring(commit):
                gpu.PACK.mkdir(exist_ok=True)
                (gpu.PACK / "commit").write_text(commit)
                subprocess.run(["tar", "czf", gpu.ARCHIVE, "-C", folder, "gpu"], check=True)
                (gpu.PACK / "commit").write_text("older")

            bring("one")
            gpu.unpack()
            self.assertEqual((gpu.PACK / "commit").read_text(), "one")
            (gpu.PACK / "made there").touch()
            gpu.unpack()
            self.assertTrue((gpu.PACK / "made there").exists())
            bring("two")
            gpu.unpack()
            self.assertEqual((gpu.PACK / "commit").read_text(), "two")

    def test_names_executables_that_are_not_there(self):
        gpu, status, output = self.run_bench({load().EMULATED[0]: 0})
        self.assertEqual(status, 0, output)
        for name in gpu.EMULATED[1:]:
            self.assertIn(f"{name}: not run", output)

    def test_fails_where_a_test_of_the_emulated_device_fails(self):
        gpu, status, output = self.run_bench(dict.fromkeys(load().EMULATED, 3))
        self.assertEqual(status, 1)
        self.assertIn(f"emulated {gpu.EMULATED[0]} ended with 3", output)

    # With a tool that finds a race in profiles, cannot attach for one check, and takes too long for another.
    def test_sanitizer_gives_every_run_its_verdict(self):
        gpu = load()
        gpu.SANITIZER_SECONDS = 4
        with tempfile.TemporaryDirectory() as folder:
            tool = pathlib.Path(folder) / "compute-sanitizer"
            tool.write_text("""#!/bin/sh
case "$*" in
  *racecheck*Profile*) exit 9 ;;
  *synccheck*Profile*) echo Device not supported; exit 1 ;;
  *memcheck*Instructions*) exec sleep 60 ;;
esac
""")
            tool.chmod(0o755)
            path = os.environ["PATH"]
            os.environ["PATH"] = f"{folder}:{path}"
            try:
                verdicts = gpu.sanitizer(gpu.Clock(60))
            finally:
                os.environ["PATH"] = path
        self.assertEqual(len(verdicts), 3 * len(gpu.SANITIZED))
        others = {run: verdict for run, verdict in verdicts.items() if verdict != 0}
        profiles = next(cases for cases in gpu.SANITIZED if "Profile" in cases)
        self.assertEqual(others, {f"racecheck {profiles}": 9, f"synccheck {profiles}": "could not attach", "memcheck *Instructions.*": "no time"})


class Filters(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.executables = os.environ["COTERIE_EMULATED_TESTS"].split(",")

    def picked(self, pattern):
        """Full names of the tests."""
        names = set()
        for executable in self.executables:
            text = subprocess.run([executable, "--gtest_list_tests", f"--gtest_filter={pattern}"], capture_output=True, text=True, check=True).stdout
            suite = ""
            for line in text.splitlines():
                if line.startswith("  "):
                    names.add(suite + line.split()[0])
                elif not line.startswith("Running main"):
                    suite = line.split()[0]
        return names

    def test_every_pattern_picks_a_test(self):
        gpu = load()
        for filters in (gpu.SMOKE, gpu.SANITIZED):
            for pattern in ":".join(filters).split(":"):
                self.assertTrue(self.picked(pattern), pattern)

    def test_all_instructions_are_smoked_out_and_sanitized(self):
        gpu = load()
        every = {name for name in self.picked("*") if "Instructions." in name}
        self.assertTrue(any(name.startswith("Hopper") for name in every))
        for filters in (gpu.SMOKE, gpu.SANITIZED):
            self.assertLessEqual(every, self.picked(":".join(filters)))

    def test_every_pass_and_predictor_is_sanitized(self):
        picked = self.picked(":".join(load().SANITIZED))
        for of_pass in ("KMeansOnDevice", "KMeansLabels", "ProfileOnDevice", "LogisticRegressionDevice.Gives", "LogisticRegressionDevice.Scores",
                        "Shapes/GaussianMixtureOnDevice", "Whitened/GaussianMixtureOnDevice", "GaussianMixtureExpanded", "GaussianMixtureMissing"):
            self.assertTrue(any(of_pass in name for name in picked), of_pass)


if __name__ == "__main__":
    unittest.main()
