package stacks

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestAWorkflowDoesWhatTheConfigurationSays looks for what cdk.json asks of a pipeline in an environment, and for what it doesn't. What the states do
// is test/workflow's.
func TestAWorkflowDoesWhatTheConfigurationSays(t *testing.T) {
	for name, c := range map[string]struct {
		environment, stack string
		has, hasNot        []string
	}{
		"production asks a person about each model":      {"prod", "fraud", []string{"Ask for approval", "Look at approval"}, nil},
		"an environment without an approval asks nobody": {"staging", "fraud", []string{"Register model"}, []string{"Ask for approval", "Look at approval"}},
		"the local environment asks nobody":              {"local", "fraud", []string{"Register model"}, []string{"Ask for approval"}},
		"every model is compared":                        {"local", "demand", []string{"Score candidate", "Find champion", "Score champion", "Decide"}, nil},
		"an endpoint is scaled where that is asked for":  {"prod", "demand", []string{"Register autoscaling", "Attach scaling policy"}, nil},
		"an endpoint is not scaled where it is not":      {"prod", "fraud", []string{"Update endpoint"}, []string{"Register autoscaling"}},
		"a batch has no endpoint":                        {"prod", "churn", []string{"Score batch"}, []string{"Create endpoint", "Update endpoint", "Create endpoint config", "Smoke test"}},
	} {
		t.Run(name, func(t *testing.T) {
			tasks := workflowTasks(t, templates[c.environment][c.stack], "Pipeline")
			for _, id := range c.has {
				if _, ok := tasks[id]; !ok {
					t.Errorf("there is no state %q, but %q", id, slices.Sorted(maps.Keys(tasks)))
				}
			}
			for _, id := range c.hasNot {
				if _, ok := tasks[id]; ok {
					t.Errorf("there is a state %q", id)
				}
			}
		})
	}
}

func TestAnUpdateShiftsTheCallsAsTheConfigurationSays(t *testing.T) {
	for _, c := range []struct {
		stack string
		want  []string
	}{
		{"fraud", []string{"'Type': 'CANARY'", "'Value': 50", "'WaitIntervalInSeconds': 600", "'TerminationWaitInSeconds': 300", "PipelineEndpointErrorAlarm", "PipelineEndpointLatencyAlarm"}},
		{"demand", []string{"'Type': 'ALL_AT_ONCE'", "PipelineEndpointErrorAlarm"}},
	} {
		update := text(workflowTasks(t, templates["prod"][c.stack], "Pipeline")["Update endpoint"].Arguments)
		for _, want := range c.want {
			if !strings.Contains(update, want) {
				t.Errorf("%s: the update doesn't hold %s: %s", c.stack, want, update)
			}
		}
	}
}
