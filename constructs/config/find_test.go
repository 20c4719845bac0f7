package config

import "testing"

func TestAPipelineThatIsNotThereIsAnsweredWithTheNearest(t *testing.T) {
	c := decodeValid(t)
	e, p, err := c.Find("prod", "fraud")
	if err != nil || e.Region != "eu-central-1" || p.Source.Query != "queries/fraud.sql" {
		t.Fatalf("got %+v, %v", p, err)
	}
	for _, test := range []struct{ name, environment, pipeline, says string }{
		{"a misspelt pipeline", "dev", "frued", `the environment "dev" has no pipeline "frued": did you mean "fraud"? It has churn, fraud`},
		{"a pipeline of nobody", "prod", "inventory", `the environment "prod" has no pipeline "inventory": it has fraud`},
		{"a pipeline that is left out there", "prod", "churn", `the pipeline "churn" is not enabled in the environment "prod": take "enabled": false away and deploy`},
		{"a misspelt environment", "pord", "fraud", `the configuration has no environment "pord": did you mean "prod"? It has dev, local, prod`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, _, err := c.Find(test.environment, test.pipeline); err == nil || err.Error() != test.says {
				t.Errorf("got %v, want %s", err, test.says)
			}
		})
	}
}
