"""The algorithm's container: hyperparameters, channels, training, serving."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

CONTAINER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sagemaker_local", "container")
sys.path.insert(0, CONTAINER)

import channel  # noqa: E402
import hyperparameters  # noqa: E402
import serve  # noqa: E402
from errors import UserError  # noqa: E402


class Hyperparameters(unittest.TestCase):
    def test_strings_become_values_of_their_types(self):
        parsed = hyperparameters.validate({
            "num_round": "10", "learning_rate": "0.1", "objective": "binary:logistic", "eval_metric": "auc,logloss", "scale_pos_weight": "30.5"})
        self.assertEqual(parsed, {"num_round": 10, "eta": 0.1, "objective": "binary:logistic",
                                  "eval_metric": ["auc", "logloss"], "scale_pos_weight": 30.5})

    def test_each_mistake_has_the_text_of_the_container(self):
        for given, want in (
            ({"eta": "0.1"}, "Missing required hyperparameter: num_round"),
            ({"num_round": "10", "learnrate": "1"}, "Extraneous hyperparameter found: learnrate"),
            ({"num_round": "ten"}, "Hyperparameter num_round: could not parse value (caused by ValueError)"),
            ({"num_round": "0"}, "Hyperparameter num_round: 0 is not in [1, +inf)"),
            ({"num_round": "1", "subsample": "0"}, "Hyperparameter subsample: 0.0 is not in (0, 1]"),
            ({"num_round": "1", "objective": "multi:softmax"}, "Require input for parameter 'num_class' for multi-classification"),
            ({"num_round": "1", "objective": "reg:squarederror", "eval_metric": "auc"},
             "Metric 'auc' can only be applied for classification and ranking problems."),
        ):
            with self.subTest(want), self.assertRaises(UserError) as caught:
                hyperparameters.validate(given)
            self.assertEqual(str(caught.exception), want)

    def test_what_only_the_real_container_has_is_refused_by_name(self):
        for given in ({"eval_metric": "f1"}, {"_kfold": "5"}):
            with self.subTest(given), self.assertRaisesRegex(UserError, "the local XGBoost does not have"):
                hyperparameters.validate({"num_round": "1", **given})


class Channels(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.data, self.links = os.path.join(folder.name, "train"), os.path.join(folder.name, "links")

    def write(self, path, text):
        path = os.path.join(self.data, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)

    def test_the_label_is_the_first_column(self):
        self.write("a.csv", "1,0.5,2\n0,0.25,4\n")
        matrix = channel.load(self.data, self.links)
        self.assertEqual((matrix.num_row(), matrix.num_col(), matrix.get_label().tolist()), (2, 2, [1.0, 0.0]))

    def test_files_are_read_in_the_order_of_their_paths(self):
        self.write("b.csv", "2,0\n")
        self.write("a/z.csv", "1,0\n")
        self.assertEqual(channel.load(self.data, self.links).get_label().tolist(), [1.0, 2.0])

    def test_files_deeper_than_three_folders_are_skipped_with_a_line_in_the_log(self):
        self.write("year=2026/month=1/a.csv", "1,0\n")
        self.write("year=2026/month=1/day=1/b.csv", "2,0\n")
        with self.assertLogs(level="WARNING") as logs:
            matrix = channel.load(self.data, self.links)
        self.assertEqual(matrix.get_label().tolist(), [1.0])
        self.assertIn("exceed the limit 3", logs.output[0])

    def test_a_hidden_file_or_folder_is_an_error(self):
        for path in (".hidden.csv", ".folder/a.csv"):
            with self.subTest(path):
                self.write(path, "1,0\n")
                with self.assertRaisesRegex(UserError, "Hidden file found in the data path!"):
                    channel.load(self.data, self.links)

    def test_only_csv_with_one_label_is_read(self):
        self.assertEqual(channel.content_type("text/csv; label_size=1"), "csv")
        for kind, want in ((None, "Set ContentType to text/csv"), ("text/csv;label_size=0", "label_size must be equal to 1"),
                           ("application/x-parquet", "reads text/csv only"), ("text/html", "is not an accepted ContentType")):
            with self.subTest(kind), self.assertRaisesRegex(UserError, want):
                channel.content_type(kind)


class Training(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.base = folder.name

    def train(self, given, rows="1,1\n0,0\n" * 50):
        config = os.path.join(self.base, "input", "config")
        data = os.path.join(self.base, "input", "data", "train")
        os.makedirs(config, exist_ok=True)
        os.makedirs(data, exist_ok=True)
        for path, value in ((os.path.join(config, "hyperparameters.json"), json.dumps(given)),
                            (os.path.join(config, "inputdataconfig.json"), '{"train": {"ContentType": "text/csv", "TrainingInputMode": "File"}}'),
                            (os.path.join(data, "a.csv"), rows)):
            with open(path, "w", encoding="utf-8") as f:
                f.write(value)
        # Its standard input is held open: the container ends itself when it closes.
        return subprocess.Popen([sys.executable, os.path.join(CONTAINER, "train.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, env={**os.environ, "SAGEMAKER_BASE_DIR": self.base}, text=True)

    def finish(self, process):
        output = process.stdout.read()
        code = process.wait()
        process.stdout.close()
        process.stdin.close()
        return code, output

    def model(self):
        with open(os.path.join(self.base, "model", "xgboost-model"), "rb") as f:
            return f.read()

    def test_the_same_data_and_seed_make_the_same_model(self):
        given = {"num_round": "3", "objective": "binary:logistic", "subsample": "0.5", "seed": "7"}
        self.assertEqual(self.finish(self.train(given))[0], 0)
        first = self.model()
        self.assertEqual(self.finish(self.train(given))[0], 0)
        self.assertEqual(self.model(), first)

    def test_each_round_prints_its_metrics(self):
        code, output = self.finish(self.train({"num_round": "2", "objective": "binary:logistic", "eval_metric": "auc"}))
        self.assertEqual(code, 0)
        self.assertRegex(output, r"(?m)^\[0\]\ttrain-auc:1\.0")
        self.assertRegex(output, r"(?m)^\[1\]\ttrain-auc:1\.0")

    def test_the_reason_of_a_failure_is_written_for_sagemaker(self):
        code, _ = self.finish(self.train({"num_round": "2", "objective": "binary:logistic"}, rows="4,1\n-3,0\n"))
        self.assertEqual(code, 1)
        with open(os.path.join(self.base, "output", "failure"), encoding="utf-8") as f:
            self.assertIn("for logistic regression", f.read())

    def test_it_ends_when_the_one_who_started_it_is_gone(self):
        process = self.train({"num_round": "100000000"})
        for line in process.stdout:
            if line.startswith("[0]"):
                break
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


class Serving(unittest.TestCase):
    def test_a_row_is_read_as_csv_and_as_libsvm(self):
        for kind, text in (("csv", "0.5,,2"), ("libsvm", "1 0:0.5 1:nan 2:2"), ("libsvm", "1:0.5 2:nan 3:2"), ("libsvm", '" 0:0.5 1:nan 2:2 "')):
            with self.subTest(text):
                table = serve.TABLES[kind](text)
                table = table.toarray() if kind == "libsvm" else table
                self.assertEqual([repr(float(x)) for x in table[0]], ["0.5", "nan", "2.0"])

    def test_csv_in_quotes_is_refused(self):
        with self.assertRaises(Exception):
            serve.TABLES["csv"]('"0.5,1,2"')

    def test_predictions_are_a_line_each(self):
        self.assertEqual(serve.encode([0.25, 0.5], "text/csv"), "0.25\n0.5\n")
        self.assertEqual(serve.encode([[0.25, 0.75]], "text/csv"), "0.25,0.75\n")
        self.assertEqual(json.loads(serve.encode([0.25], "application/json")), {"predictions": [{"score": 0.25}]})


if __name__ == "__main__":
    unittest.main()
