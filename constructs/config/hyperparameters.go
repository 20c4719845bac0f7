package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"sagemaker-datapipeline/constructs/config/internal/field"
	"sagemaker-datapipeline/lambda/pipeline"
)

// hyperparameter is what SageMaker's XGBoost takes for one name. The table is that of the container's own check
// (aws/sagemaker-xgboost-container, hyperparameter_validation.py), which runs only after a machine was paid for.
type hyperparameter struct {
	whole                 bool // a whole number; otherwise any number
	low, high             float64
	lowOpen, highOpen     bool     // the bound itself isn't allowed
	words                 []string // one of these instead of a number
	anything              bool     // not checked here
	unfit                 string   // why it can't be used here, although XGBoost has it
	objective, evalMetric bool     // checked by rules of their own
}

var (
	noBound = math.Inf(1)
	flag    = hyperparameter{whole: true, low: 0, high: 1}
	share   = hyperparameter{low: 0, high: 1}
	portion = hyperparameter{low: 0, high: 1, lowOpen: true}
	atLeast = func(low float64) hyperparameter { return hyperparameter{low: low, high: noBound} }
	count   = func(low float64) hyperparameter { return hyperparameter{whole: true, low: low, high: noBound} }
	oneOf   = func(words ...string) hyperparameter { return hyperparameter{words: words} }

	xgboost = map[string]hyperparameter{
		"_kfold":                      count(2),
		"_num_cv_round":               count(1),
		"alpha":                       atLeast(0),
		"base_score":                  atLeast(0),
		"booster":                     oneOf("gbtree", "gblinear", "dart"),
		"colsample_bylevel":           portion,
		"colsample_bynode":            portion,
		"colsample_bytree":            portion,
		"csv_weights":                 {unfit: "the export writes no column of weights: use scale_pos_weight for classes of unequal size"},
		"deterministic_histogram":     oneOf("true", "false"),
		"dsplit":                      oneOf("row", "col"),
		"early_stopping_rounds":       count(1),
		"eta":                         share,
		"eval_metric":                 {evalMetric: true},
		"gamma":                       atLeast(0),
		"grow_policy":                 oneOf("depthwise", "lossguide"),
		"interaction_constraints":     {anything: true},
		"lambda":                      atLeast(0),
		"lambda_bias":                 share,
		"learning_rate":               share,
		"max_bin":                     count(0),
		"max_delta_step":              atLeast(0),
		"max_depth":                   count(0),
		"max_leaves":                  count(0),
		"min_child_weight":            atLeast(0),
		"min_split_loss":              atLeast(0),
		"monotone_constraints":        {anything: true},
		"normalize_type":              oneOf("tree", "forest"),
		"nthread":                     count(1),
		"num_class":                   {unfit: "the tasks here have no more than two classes: leave it out"},
		"num_parallel_tree":           count(1),
		"num_round":                   count(1),
		"objective":                   {objective: true},
		"one_drop":                    flag,
		"predictor":                   oneOf("auto", "cpu_predictor", "gpu_predictor"),
		"prob_buffer_row":             {low: 1, high: noBound, lowOpen: true},
		"process_type":                oneOf("default", "update"),
		"rate_drop":                   share,
		"refresh_leaf":                flag,
		"reg_alpha":                   atLeast(0),
		"reg_lambda":                  atLeast(0),
		"sample_type":                 oneOf("uniform", "weighted"),
		"sampling_method":             oneOf("uniform", "gradient_based"),
		"save_model_on_termination":   oneOf("true", "false"),
		"scale_pos_weight":            {low: 0, high: noBound, lowOpen: true},
		"seed":                        {whole: true, low: -(1 << 31), high: 1<<31 - 1, lowOpen: true, highOpen: true},
		"sketch_eps":                  {low: 0, high: 1, lowOpen: true, highOpen: true},
		"skip_drop":                   share,
		"subsample":                   portion,
		"tree_method":                 oneOf("auto", "exact", "approx", "hist", "gpu_hist"),
		"tweedie_variance_power":      {low: 1, high: 2, lowOpen: true, highOpen: true},
		"updater":                     {anything: true},
		"use_dask_gpu_training":       oneOf("true", "false"),
		"verbosity":                   {whole: true, low: 0, high: 3},
		"aft_loss_distribution":       {unfit: "it is for survival analysis, which is no task here: leave it out"},
		"aft_loss_distribution_scale": {unfit: "it is for survival analysis, which is no task here: leave it out"},
	}

	// binary:logitraw is missing on purpose: its scores are margins, and the signature's threshold is a probability.
	objectives = map[pipeline.Task][]string{
		pipeline.Binary: {"binary:logistic", "binary:hinge"},
		pipeline.Regression: {"reg:squarederror", "reg:squaredlogerror", "reg:absoluteerror", "reg:pseudohubererror",
			"reg:logistic", "reg:gamma", "reg:tweedie", "count:poisson"},
	}
	evalMetrics = map[pipeline.Task][]string{
		pipeline.Binary: {"accuracy", "auc", "aucpr", "balanced_accuracy", "error", "f1", "f1_binary", "f1_macro", "logloss",
			"mae", "mse", "precision", "precision_macro", "precision_micro", "recall", "recall_macro", "recall_micro", "rmse"},
		pipeline.Regression: {"gamma-deviance", "gamma-nloglik", "mae", "mape", "mphe", "mse", "poisson-nloglik", "r2", "rmse",
			"rmsle", "tweedie-nloglik"},
	}
)

// mostHyperparameters is the limit of SageMaker's CreateTrainingJob.
const mostHyperparameters = 100

// Hyperparameters gives the names that Training.Hyperparameters takes, and for each the form of its value in words.
func Hyperparameters() map[string]string {
	forms := make(map[string]string, len(xgboost))
	for name, h := range xgboost {
		if h.unfit == "" {
			forms[name] = h.wanted()
		}
	}
	return forms
}

// remedy says what to write instead of the value; "" is a good value.
func (h hyperparameter) remedy(value string, task pipeline.Task) string {
	switch {
	case h.unfit != "":
		return h.unfit
	case h.anything:
		return ""
	case h.objective:
		return pick(value, objectives[task], fmt.Sprintf("the task %q", task))
	case h.evalMetric:
		return checkEvalMetrics(value, task)
	case h.words != nil:
		return pick(value, h.words, "")
	}
	x, err := strconv.ParseFloat(value, 64)
	if err == nil && h.whole && x != math.Trunc(x) || math.IsNaN(x) || math.IsInf(x, 0) {
		err = strconv.ErrSyntax
	}
	if err != nil || x < h.low || x > h.high || h.lowOpen && x == h.low || h.highOpen && x == h.high {
		return "write " + h.wanted()
	}
	return ""
}

func (h hyperparameter) wanted() string {
	switch {
	case h.objective:
		return "what is learnt: for binary tasks " + strings.Join(objectives[pipeline.Binary], ", ") + "; for regression " + strings.Join(objectives[pipeline.Regression], ", ")
	case h.evalMetric:
		return "metrics, comma-separated; early stopping watches the last one"
	case h.anything:
		return "as XGBoost's documentation says"
	case h.words != nil:
		return "one of " + strings.Join(h.words, ", ")
	}
	what := "a number"
	if h.whole {
		what = "a whole number"
	}
	if h.lowOpen {
		what += fmt.Sprintf(" above %s", field.Plain(h.low))
	} else {
		what += fmt.Sprintf(" of at least %s", field.Plain(h.low))
	}
	switch {
	case h.high == noBound:
	case h.highOpen:
		what += fmt.Sprintf(" and below %s", field.Plain(h.high))
	default:
		what += fmt.Sprintf(" and at most %s", field.Plain(h.high))
	}
	return what + ", in quotes"
}

func checkEvalMetrics(value string, task pipeline.Task) string {
	for metric := range strings.SplitSeq(value, ",") {
		metric = strings.TrimSpace(metric)
		// error@0.3 counts errors above another threshold than 0.5.
		if name, threshold, ok := strings.Cut(metric, "@"); ok && name == "error" && task == pipeline.Binary {
			if _, err := strconv.ParseFloat(threshold, 64); err != nil {
				return "write a number behind error@, such as error@0.3"
			}
			continue
		}
		if remedy := pick(metric, evalMetrics[task], fmt.Sprintf("the task %q", task)); remedy != "" {
			return remedy
		}
	}
	return ""
}

func pick(value string, words []string, audience string) string {
	if slices.Contains(words, value) {
		return ""
	}
	remedy := "write one of " + strings.Join(words, ", ")
	if audience != "" {
		remedy = fmt.Sprintf("write one that fits %s: %s", audience, strings.Join(words, ", "))
	}
	if near := nearest(value, words); near != "" {
		remedy = fmt.Sprintf("did you mean %q? %s", near, upperFirst(remedy))
	}
	return remedy
}

func (v validator) hyperparameters(t *Training, task pipeline.Task, n *node) {
	if objectives[task] == nil {
		return
	}
	path := func(name string) string { return n.at("training", "hyperparameters", name) }
	if len(t.Hyperparameters) > mostHyperparameters {
		v.add(n.at("training", "hyperparameters"), fmt.Sprintf("has %d hyperparameters", len(t.Hyperparameters)),
			fmt.Sprintf("keep at most %d (SageMaker, CreateTrainingJob)", mostHyperparameters))
	}
	names := slices.Sorted(maps.Keys(xgboost))
	for name, value := range t.Hyperparameters {
		known, ok := xgboost[name]
		if !ok {
			remedy := "XGBoost on SageMaker has " + strings.Join(names, ", ")
			if near := nearest(name, names); near != "" {
				remedy = fmt.Sprintf("did you mean %q? %s", near, remedy)
			}
			v.add(path(name), fmt.Sprintf("there is no hyperparameter %s", quote(name)), remedy)
			continue
		}
		if remedy := known.remedy(value, task); remedy != "" {
			v.add(path(name), "got "+quote(value), remedy)
		}
	}
	if t.Hyperparameters["num_round"] == "" {
		v.add(path("num_round"), "is missing", `write the number of trees, in quotes: "200"`)
	}
	if t.Hyperparameters["objective"] == "" && task == pipeline.Binary {
		v.add(path("objective"), "is missing", `write "binary:logistic": without it XGBoost does a regression`)
	}
	for name, alias := range map[string]string{"eta": "learning_rate", "gamma": "min_split_loss", "lambda": "reg_lambda", "alpha": "reg_alpha"} {
		if t.Hyperparameters[name] != "" && t.Hyperparameters[alias] != "" {
			v.add(path(alias), "got "+quote(t.Hyperparameters[alias]), fmt.Sprintf("leave it out: it is another name of %s", name))
		}
	}
}
