package config_test

import (
	"fmt"

	"sagemaker-datapipeline/constructs/config"
)

// What a person sees who got three things wrong.
func ExampleDecode() {
	_, err := config.Decode([]byte(`{
		"environments": {
			"dev": {
				"account": 111111111111,
				"region": "eu-central-1",
				"network": { "none": true },
				"database": { "import": { "secretName": "ml/dev/sqlserver" } },
				"pipelines": { "churm": { "enabled": false } }
			}
		},
		"pipelines": {
			"churn": {
				"schedule": { "expression": "cron(0 4 * * MON *)", "timeZone": "Europe/Berlin" },
				"source": { "table": "dbo.Customers" },
				"dataset": { "task": "binary", "key": ["CustomerId"], "label": "Churned" },
				"training": {
					"instanceType": "ml.m6i.large",
					"hyperparameters": { "objective": "binary:logistic", "num_round": "200" }
				},
				"endpoint": { "instanceType": "ml.m6i.large" }
			}
		}
	}`), ".")
	fmt.Println(err)
	// Output:
	// the configuration has 3 problems
	//
	//   environments.dev.account
	//     got 111111111111, a number
	//     → write the 12 digits of an AWS account, in quotes: "111111111111"
	//
	//   environments.dev.pipelines.churm
	//     there is no pipeline "churm" to override
	//     → did you mean "churn"? The pipelines are churn
	//
	//   pipelines.churn.schedule.expression
	//     got "cron(0 4 * * MON *)"
	//     → write ? in exactly one of day-of-month and day-of-week: cron(0 4 ? * MON *)
}
