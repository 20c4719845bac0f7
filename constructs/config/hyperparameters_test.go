package config

import (
	"strings"
	"testing"

	"sagemaker-datapipeline/lambda/pipeline"
)

func TestHyperparameterValues(t *testing.T) {
	for name, test := range map[string]struct {
		parameter, value string
		task             pipeline.Task
		remedy           string
	}{
		"a number at its lowest":              {"eta", "0", pipeline.Binary, ""},
		"a number at its highest":             {"eta", "1", pipeline.Binary, ""},
		"a number with an exponent":           {"eta", "1e-3", pipeline.Binary, ""},
		"a number just above its highest":     {"eta", "1.01", pipeline.Binary, "at least 0 and at most 1"},
		"a number at a bound that is open":    {"scale_pos_weight", "0", pipeline.Binary, "above 0"},
		"a number without an upper bound":     {"scale_pos_weight", "1000000", pipeline.Binary, ""},
		"a number that is infinite":           {"scale_pos_weight", "Inf", pipeline.Binary, "above 0"},
		"a number between two open bounds":    {"tweedie_variance_power", "1.5", pipeline.Regression, ""},
		"a number at the upper open bound":    {"tweedie_variance_power", "2", pipeline.Regression, "above 1 and below 2"},
		"a negative seed":                     {"seed", "-7", pipeline.Binary, ""},
		"a seed of more than 32 bits":         {"seed", "4294967296", pipeline.Binary, "a whole number above -2147483648"},
		"a word":                              {"booster", "dart", pipeline.Binary, ""},
		"a word that is misspelt":             {"booster", "gbtre", pipeline.Binary, `did you mean "gbtree"? Write one of gbtree, gblinear, dart`},
		"one metric":                          {"eval_metric", "auc", pipeline.Binary, ""},
		"several metrics with spaces":         {"eval_metric", "logloss, auc", pipeline.Binary, ""},
		"a metric with a threshold":           {"eval_metric", "error@0.3", pipeline.Binary, ""},
		"a metric with a threshold in words":  {"eval_metric", "error@third", pipeline.Binary, "a number behind error@"},
		"a threshold for another metric":      {"eval_metric", "auc@0.3", pipeline.Binary, `fits the task "binary"`},
		"no metric":                           {"eval_metric", "", pipeline.Binary, `fits the task "binary"`},
		"an objective of counts":              {"objective", "count:poisson", pipeline.Regression, ""},
		"an objective under its old name":     {"objective", "reg:linear", pipeline.Regression, "reg:squarederror"},
		"constraints, which XGBoost checks":   {"monotone_constraints", "(1,-1,0)", pipeline.Binary, ""},
		"classes, of which there are two":     {"num_class", "3", pipeline.Binary, "no more than two classes"},
		"a distribution of survival analysis": {"aft_loss_distribution", "normal", pipeline.Regression, "survival analysis"},
	} {
		t.Run(name, func(t *testing.T) {
			got := xgboost[test.parameter].remedy(test.value, test.task)
			if (test.remedy == "") != (got == "") || !strings.Contains(got, test.remedy) {
				t.Errorf("%s = %q: got %q, want %q", test.parameter, test.value, got, test.remedy)
			}
		})
	}
}

func TestEveryHyperparameterSaysWhatItTakes(t *testing.T) {
	forms := Hyperparameters()
	for name, form := range forms {
		if form == "" {
			t.Errorf("%s says nothing", name)
		}
	}
	if _, unfit := forms["csv_weights"]; unfit || len(forms) < 40 {
		t.Errorf("there are %d hyperparameters to choose from", len(forms))
	}
}
