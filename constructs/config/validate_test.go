package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// edits is what a test changes in valid: dotted paths and the JSON to put there, in pairs.
type edits []string

func TestEveryMistakeIsNamedWithItsPathItsValueAndItsRemedy(t *testing.T) {
	const (
		env  = "environments.dev."
		prod = "environments.prod."
		pipe = "pipelines.fraud."
	)
	for name, test := range map[string]struct {
		edits             edits
		path, got, remedy string
	}{
		// Keys
		"a misspelt key names its neighbour":                        {edits{env + "acount", `"1"`}, env + "acount", `there is no key "acount"`, `did you mean "account"? The keys here are account, region,`},
		"a key in another case is misspelt":                         {edits{env + "Region", `"1"`}, env + "Region", `there is no key "Region"`, `did you mean "region"?`},
		"a key far from any other gets the list":                    {edits{pipe + "schedule.zzzzzzzz", `1`}, pipe + "schedule.zzzzzzzz", `there is no key`, `the keys here are expression, timeZone, enabled`},
		"a misspelt key at the top is found among feature flags":    {edits{"pipelnes", `{}`}, "pipelnes", `there is no key "pipelnes"`, `did you mean "pipelines"?`},
		"a misspelt key in an override is at the environment":       {edits{prod + "pipelines.fraud.trainning", `{}`}, prod + "pipelines.fraud.trainning", `there is no key`, `did you mean "training"?`},
		"a string for a number":                                     {edits{env + "pollSeconds", `"30"`}, env + "pollSeconds", `got "30", a string`, "write a whole number from 1 to 3600"},
		"a number for a string":                                     {edits{env + "account", `111111111111`}, env + "account", "got 111111111111, a number", `in quotes: "111111111111"`},
		"a hyperparameter as a number":                              {edits{pipe + "training.hyperparameters.num_round", `100`}, pipe + "training.hyperparameters.num_round", "got 100, a number", `write a string, in quotes: "100"`},
		"an object for a list":                                      {edits{pipe + "dataset.key", `{"a": 1}`}, pipe + "dataset.key", "got an object with 1 keys", "write a list of strings"},
		"a list for an object":                                      {edits{pipe + "dataset", `[]`}, pipe + "dataset", "got a list of 0", "write an object"},
		"a number in a list of strings":                             {edits{pipe + "dataset.key", `["A", 2]`}, pipe + "dataset.key[1]", "got 2, a number", `in quotes: "2"`},
		"a fraction for a whole number":                             {edits{pipe + "endpoint.instanceCount", `1.5`}, pipe + "endpoint.instanceCount", "got 1.5", "write a whole number from 1 to"},
		"a word for true or false":                                  {edits{env + "removeData", `"yes"`}, env + "removeData", `got "yes", a string`, "write true or false"},
		"an empty string":                                           {edits{pipe + "dataset.label", `""`}, pipe + "dataset.label", "an empty string", "write a string"},
		"a missing object is one problem, not one for each key":     {edits{pipe + "dataset", gone}, pipe + "dataset", "is missing", "write an object"},
		"null is as good as missing":                                {edits{pipe + "dataset.label", `null`}, pipe + "dataset.label", "is missing", "write a string"},
		"no pipelines at all":                                       {edits{"pipelines", `{}`, prod + "pipelines", gone}, "pipelines", "is empty", "write an object"},
		"an override that isn't an object":                          {edits{prod + "pipelines.fraud", `false`}, prod + "pipelines.fraud", "got false", `{"enabled": false}`},
		"an override takes something needed away":                   {edits{prod + "pipelines.fraud.training.instanceType", `null`}, prod + "pipelines.fraud.training.instanceType", "is missing", "such as ml.m6i.large"},
		"an override of a pipeline that isn't there names the next": {edits{prod + "pipelines.fruad", `{}`}, prod + "pipelines.fruad", `there is no pipeline "fruad" to override`, `did you mean "fraud"?`},

		// Names
		"a project in upper case":                       {edits{"project", `"ML"`}, "project", `got "ML"`, "lower-case letters"},
		"a name that leaves a run no room says how far": {edits{"project", `"a-project-with-a-long-name-indeed"`, "pipelines.churn.enabled", `false`, "environments.local.pipelines", `{"fraud": {"enabled": false}}`}, "pipelines.fraud", `becomes "a-project-with-a-long-name-indeed-prod-fraud" with 44 characters`, "by 2: SageMaker's names have 63 characters, and a run needs 21"},

		// Environment
		"an environment without an account":         {edits{env + "account", gone}, env + "account", "is missing", "write the 12 digits of an AWS account, in quotes"},
		"an account with eleven digits":             {edits{env + "account", `"11111111111"`}, env + "account", `got "11111111111"`, "12 digits"},
		"a region that is a city":                   {edits{env + "region", `"frankfurt"`}, env + "region", `got "frankfurt"`, "such as eu-central-1"},
		"a zone of another region":                  {edits{env + "availabilityZones", `["eu-west-1a", "eu-central-1b"]`}, env + "availabilityZones[0]", `got "eu-west-1a"`, "such as eu-central-1a"},
		"a region in the place of a zone":           {edits{env + "availabilityZones", `["eu-central-1", "eu-central-1b"]`}, env + "availabilityZones[0]", `got "eu-central-1"`, "such as eu-central-1a"},
		"a zone written twice":                      {edits{env + "availabilityZones", `["eu-central-1a", "eu-central-1a"]`}, env + "availabilityZones[1]", "a second time", "take one of them out"},
		"a created network without zones":           {edits{env + "availabilityZones", gone}, env + "availabilityZones", "is missing", "such as eu-central-1a"},
		"a provisioned database in one zone":        {edits{env + "availabilityZones", `["eu-central-1a"]`}, env + "availabilityZones", "got 1", "RDS wants subnets in two zones"},
		"no network":                                {edits{env + "network", gone}, env + "network", "is missing", "write an object"},
		"none of the networks":                      {edits{env + "network", `{}`}, env + "network", "has none of create, import, none", "exactly one"},
		"a network that is not none":                {edits{env + "network", `{"none": false}`}, env + "network", "has none of create, import, none", "exactly one"},
		"two networks":                              {edits{env + "network.none", `true`}, env + "network", "has create and none", "keep exactly one"},
		"two databases":                             {edits{env + "database.import", `{"secretName": "x"}`}, env + "database", "has import and provision", "keep exactly one"},
		"two secrets":                               {edits{prod + "database.import.secretName", `"x"`}, prod + "database.import", "has secretName and secretArn", "keep exactly one"},
		"no secret":                                 {edits{prod + "database.import.secretArn", gone}, prod + "database.import", "has none of secretName, secretArn", "exactly one"},
		"addresses that are no network":             {edits{env + "network.create.cidr", `"10.40.0.0"`}, env + "network.create.cidr", `got "10.40.0.0"`, "such as 10.40.0.0/20"},
		"addresses of version six":                  {edits{env + "network.create.cidr", `"fd00::/20"`}, env + "network.create.cidr", "got", "IPv4"},
		"a network with an address inside it":       {edits{env + "network.create.cidr", `"10.40.1.7/20"`}, env + "network.create.cidr", `got "10.40.1.7/20"`, "first address: 10.40.0.0/20"},
		"a network that is too wide":                {edits{env + "network.create.cidr", `"10.0.0.0/8"`}, env + "network.create.cidr", `got "10.0.0.0/8"`, "from /16"},
		"more NAT gateways than zones":              {edits{env + "network.create.natGateways", `3`}, env + "network.create.natGateways", "got 3", "at most 2"},
		"a VPC that is no id":                       {edits{prod + "network.import.vpcId", `"main"`}, prod + "network.import.vpcId", `got "main"`, "such as vpc-"},
		"more zones than subnets":                   {edits{prod + "network.import.privateSubnetIds", `["subnet-0a1b2c3d"]`, prod + "network.import.privateSubnetRouteTableIds", `["rtb-0a1b2c3d"]`}, prod + "network.import.privateSubnetIds", "got 1 subnets for 2 zones", "in the same order"},
		"a subnet that is no id":                    {edits{prod + "network.import.privateSubnetIds", `["subnet-0a1b2c3d", "b"]`}, prod + "network.import.privateSubnetIds[1]", `got "b"`, "such as subnet-"},
		"endpoints to be made without route tables": {edits{prod + "network.import.privateSubnetRouteTableIds", gone}, prod + "network.import.privateSubnetRouteTableIds", "is missing", `"endpointsExist": true`},
		"fewer route tables than subnets":           {edits{prod + "network.import.privateSubnetRouteTableIds", `["rtb-0a1b2c3d"]`}, prod + "network.import.privateSubnetRouteTableIds", "got 1 route tables for 2 subnets", "in the same order"},
		"a database without a network to be in":     {edits{env + "network", `{"none": true}`}, env + "database.provision", "has no network to be in", "create or import one"},
		"an edition that RDS doesn't have":          {edits{env + "database.provision.engine", `"sqlserver-std"`}, env + "database.provision.engine", `got "sqlserver-std"`, "one of sqlserver-ex, sqlserver-web, sqlserver-se, sqlserver-ee"},
		"a standby that Express doesn't have":       {edits{env + "database.provision.engine", `"sqlserver-ex"`, env + "database.provision.multiAz", `true`}, env + "database.provision.multiAz", "got true", "the Express edition has no standby"},
		"an instance type with RDS's prefix":        {edits{env + "database.provision.instanceType", `"db.m6i.large"`}, env + "database.provision.instanceType", `got "db.m6i.large"`, "without the prefix db."},
		"the master user's secret, provisioned":     {edits{env + "database.provision.exportSecretName", `"rds!db-1"`}, env + "database.provision.exportSecretName", `got "rds!db-1"`, ""},
		"the master user's secret by name":          {edits{prod + "database.import.secretArn", gone, prod + "database.import.secretName", `"rds!db-1"`}, prod + "database.import.secretName", `got "rds!db-1"`, ""},
		"a secret of another region":                {edits{prod + "database.import.secretArn", `"arn:aws:secretsmanager:us-east-1:222222222222:secret:x-AbCdEf"`}, prod + "database.import.secretArn", "us-east-1", "replicate it there"},
		"a secret's ARN that isn't whole":           {edits{prod + "database.import.secretArn", `"arn:aws:secretsmanager:us-east-1:222222222222:secret:x"`}, prod + "database.import.secretArn", "got", "the six characters at its end"},
		"a password in the place of a secret":       {edits{prod + "database.import.secretArn", gone, prod + "database.import.secretName", `"hunter 2!"`}, prod + "database.import.secretName", "got", "never the password itself"},
		"a host with its port":                      {edits{prod + "database.import.host", `"db.example.com,1433"`}, prod + "database.import.host", "got", "the port has a key of its own"},
		"a security group outside any VPC":          {edits{"environments.local.database.import.securityGroupId", `"sg-0a1b2c3d"`}, "environments.local.database.import.securityGroupId", "got", "leave it out"},
		"a processor that doesn't exist":            {edits{env + "architecture", `"arm46"`}, env + "architecture", `got "arm46"`, `did you mean "arm64"?`},
		"the host's processor on AWS":               {edits{env + "architecture", `"host"`}, env + "architecture", `got "host"`, `write "arm64" or "x86_64"`},
		"a retention that CloudWatch doesn't know":  {edits{env + "logRetentionDays", `10`}, env + "logRetentionDays", "got 10", "one of 1, 3, 5, 7, 14, 30"},
		"an address that is none":                   {edits{env + "notify.emails", `["team"]`}, env + "notify.emails[0]", `got "team"`, "team@example.com"},
		"an address with a name":                    {edits{env + "notify.emails", `["Team <team@example.com>"]`}, env + "notify.emails[0]", "got", "alone"},
		"polling without a pause":                   {edits{env + "pollSeconds", `0`}, env + "pollSeconds", "got 0", "from 1"},

		// Schedule and source
		"a schedule that doesn't exist":          {edits{pipe + "schedule.expression", `"nightly"`}, pipe + "schedule.expression", `got "nightly"`, "cron(0 2 * * ? *)"},
		"an override's schedule is at its place": {edits{prod + "pipelines.fraud.schedule.expression", `"rate(1 week)"`}, prod + "pipelines.fraud.schedule.expression", `got "rate(1 week)"`, "rate(7 days)"},
		"a time zone that doesn't exist":         {edits{pipe + "schedule.timeZone", `"Europe/Berln"`}, pipe + "schedule.timeZone", `got "Europe/Berln"`, `did you mean "Europe/Berlin"?`},
		"a time zone that is a place":            {edits{pipe + "schedule.timeZone", `"Berlin"`}, pipe + "schedule.timeZone", `got "Berlin"`, `did you mean "Europe/Berlin"?`},
		"neither a query nor a table":            {edits{pipe + "source.query", gone}, pipe + "source", "has none of query, table", "exactly one"},
		"a query and a table":                    {edits{pipe + "source.table", `"dbo.T"`}, pipe + "source", "has query and table", "keep exactly one"},
		"a table laid over a query":              {edits{prod + "pipelines.fraud.source.table", `"dbo.T"`}, prod + "pipelines.fraud.source", "has query and table", "takes the pipeline's own away with null"},
		"a table without its schema":             {edits{"pipelines.churn.source.table", `"Customers"`}, "pipelines.churn.source.table", `got "Customers"`, "write schema.name"},
		"a table in another database":            {edits{"pipelines.churn.source.table", `"shop.dbo.Customers"`}, "pipelines.churn.source.table", "got", "write schema.name"},
		"a query that isn't there":               {edits{pipe + "source.query", `"queries/frauds.sql"`}, pipe + "source.query", `got "queries/frauds.sql"`, "did you mean queries/fraud.sql?"},
		"a query that is empty":                  {edits{pipe + "source.query", `"queries/empty.sql"`}, pipe + "source.query", "got", "the file is empty"},
		"a query that is all comment":            {edits{pipe + "source.query", `"queries/comment.sql"`}, pipe + "source.query", "got", "the file is empty"},
		"a query in UTF-16":                      {edits{pipe + "source.query", `"queries/utf16.sql"`}, pipe + "source.query", "got", "save the file as UTF-8"},
		"a query outside the project":            {edits{pipe + "source.query", `"../secret.sql"`}, pipe + "source.query", "got", "a path inside the project"},
		"a query at an absolute path":            {edits{pipe + "source.query", `"/etc/hostname"`}, pipe + "source.query", "got", "a path inside the project"},
		"a query that a link leads out to":       {edits{pipe + "source.query", `"queries/link.sql"`}, pipe + "source.query", "got", "inside the project"},
		"a query that is a folder":               {edits{pipe + "source.query", `"queries"`}, pipe + "source.query", "got", "a file inside the project"},

		// Dataset
		"a task that isn't one":                      {edits{pipe + "dataset.task", `"binray"`}, pipe + "dataset.task", `got "binray"`, `did you mean "binary"?`},
		"no key":                                     {edits{pipe + "dataset.key", `[]`}, pipe + "dataset.key", "is empty", "write a list of strings"},
		"a label that is the key":                    {edits{pipe + "dataset.label", `"transactionid"`}, pipe + "dataset.label", "which is in key too", "take it out of key"},
		"a label that is a feature":                  {edits{pipe + "dataset.features", `["Amount", "IsFraud"]`}, pipe + "dataset.label", "which is in features too", "take it out of features"},
		"a label that is dropped":                    {edits{pipe + "dataset.drop", `["IsFraud"]`}, pipe + "dataset.label", "which is in drop too", "take it out of drop"},
		"a feature listed twice":                     {edits{pipe + "dataset.features", `["Amount", "Hour", "amount"]`}, pipe + "dataset.features[2]", `got "amount" a second time`, "take one of them out"},
		"a feature that is the key":                  {edits{pipe + "dataset.features", `["TransactionId"]`}, pipe + "dataset.features[0]", "which is in key too", "learns rows by heart"},
		"a feature that is dropped":                  {edits{pipe + "dataset.features", `["A"]`, pipe + "dataset.drop", `["A"]`}, pipe + "dataset.drop[0]", "which is in features too", "take it out of one of them"},
		"a key that is dropped":                      {edits{pipe + "dataset.drop", `["TransactionId"]`}, pipe + "dataset.drop[0]", "which is in key too", "take it out of drop"},
		"shares that are more than everything":       {edits{pipe + "dataset.split", `{"train": 0.9}`}, pipe + "dataset.split", "got train 0.9 + validation 0.1 + test 0.1 = 1.1", "add up to 1"},
		"shares that an override makes too many":     {edits{prod + "pipelines.fraud.dataset.split.test", `0.2`}, prod + "pipelines.fraud.dataset.split", "= 1.1", "add up to 1"},
		"a negative share":                           {edits{pipe + "dataset.split", `{"train": 0.9, "validation": 0.2, "test": -0.1}`}, pipe + "dataset.split.test", "got -0.1", "from 0 to 1"},
		"nothing to train on":                        {edits{pipe + "dataset.split", `{"train": 0, "validation": 0.5, "test": 0.5}`}, pipe + "dataset.split.train", "got 0", "above 0"},
		"nothing to validate on":                     {edits{pipe + "dataset.split", `{"train": 0.9, "validation": 0, "test": 0.1}`}, pipe + "dataset.split.validation", "got 0", "above 0"},
		"more memory than Lambda has":                {edits{pipe + "export.memoryMiB", `20480`}, pipe + "export.memoryMiB", "got 20480", "from 128 to 10240 (AWS Lambda)"},
		"more time than Lambda has":                  {edits{pipe + "export.timeoutSeconds", `901`}, pipe + "export.timeoutSeconds", "got 901", "from 1 to 900 (AWS Lambda)"},
		"more retries than Lambda has":               {edits{pipe + "export.retryAttempts", `3`}, pipe + "export.retryAttempts", "got 3", "from 0 to 2"},
		"an event that gets too old":                 {edits{pipe + "export.maxEventAgeSeconds", `86400`}, pipe + "export.maxEventAgeSeconds", "got 86400", "from 60 to 21600"},
		"a statement that outlives the function":     {edits{pipe + "export.timeoutSeconds", `300`}, pipe + "export.statementTimeoutSeconds", "got 780, with 15 for connecting", "write at most 284"},
		"the same by an override, at the pipeline's": {edits{prod + "pipelines.fraud.export.timeoutSeconds", `300`, pipe + "export.statementTimeoutSeconds", `700`}, pipe + "export.statementTimeoutSeconds", `in the environment "prod"`, "write at most 284"},
		"a lock awaited longer than the statement":   {edits{pipe + "export.lockTimeoutSeconds", `800`}, pipe + "export.lockTimeoutSeconds", "got 800", "write at most 780"},

		// Training and endpoint
		"an algorithm that we don't have":              {edits{pipe + "training.algorithm", `"lightgbm"`}, pipe + "training.algorithm", `got "lightgbm"`, `write "xgboost"`},
		"a version that AWS doesn't maintain":          {edits{pipe + "training.version", `"1.5-1"`}, pipe + "training.version", `got "1.5-1"`, "3.2-0, 3.0-5, 1.7-1"},
		"an instance type of EC2":                      {edits{pipe + "training.instanceType", `"m6i.large"`}, pipe + "training.instanceType", `got "m6i.large"`, "such as ml.m6i.large"},
		"an endpoint's instance type that is misspelt": {edits{pipe + "endpoint.instanceType", `"ml.m6i.lareg"`}, pipe + "endpoint.instanceType", "got", "such as ml.m6i.large"},
		"no machine":                                  {edits{pipe + "endpoint.instanceCount", `0`}, pipe + "endpoint.instanceCount", "got 0", "from 1"},
		"a job of more than 28 days":                  {edits{pipe + "training.maxRuntimeSeconds", `2419201`}, pipe + "training.maxRuntimeSeconds", "got 2419201", "28 days"},
		"a disk without room":                         {edits{pipe + "training.volumeGiB", `0`}, pipe + "training.volumeGiB", "got 0", "from 1"},
		"no number of trees":                          {edits{pipe + "training.hyperparameters.num_round", gone}, pipe + "training.hyperparameters.num_round", "is missing", `"200"`},
		"an objective of another task":                {edits{pipe + "training.hyperparameters.objective", `"reg:squarederror"`}, pipe + "training.hyperparameters.objective", `got "reg:squarederror"`, `fits the task "binary": binary:logistic, binary:hinge`},
		"no objective for a binary task":              {edits{pipe + "training.hyperparameters.objective", gone}, pipe + "training.hyperparameters.objective", "is missing", "binary:logistic"},
		"scores that are no probabilities":            {edits{pipe + "training.hyperparameters.objective", `"binary:logitraw"`}, pipe + "training.hyperparameters.objective", "got", "binary:logistic"},
		"a hyperparameter that is misspelt":           {edits{pipe + "training.hyperparameters.max_dept", `"6"`}, pipe + "training.hyperparameters.max_dept", `there is no hyperparameter "max_dept"`, `did you mean "max_depth"?`},
		"a hyperparameter that is no number":          {edits{pipe + "training.hyperparameters.eta", `"fast"`}, pipe + "training.hyperparameters.eta", `got "fast"`, "a number of at least 0 and at most 1, in quotes"},
		"a hyperparameter out of range":               {edits{pipe + "training.hyperparameters.subsample", `"0"`}, pipe + "training.hyperparameters.subsample", `got "0"`, "above 0 and at most 1"},
		"a hyperparameter with a fraction of a tree":  {edits{pipe + "training.hyperparameters.max_depth", `"6.5"`}, pipe + "training.hyperparameters.max_depth", `got "6.5"`, "a whole number"},
		"a hyperparameter that isn't a number at all": {edits{pipe + "training.hyperparameters.gamma", `"NaN"`}, pipe + "training.hyperparameters.gamma", `got "NaN"`, "a number of at least 0"},
		"a metric that doesn't exist":                 {edits{pipe + "training.hyperparameters.eval_metric", `"logloss,acu"`}, pipe + "training.hyperparameters.eval_metric", "acu", `did you mean "auc"?`},
		"a metric of another task":                    {edits{"pipelines.churn.training.hyperparameters.eval_metric", `"auc"`}, "pipelines.churn.training.hyperparameters.eval_metric", `got "auc"`, `the task "regression"`},
		"weights that the export doesn't write":       {edits{pipe + "training.hyperparameters.csv_weights", `"1"`}, pipe + "training.hyperparameters.csv_weights", "got", "use scale_pos_weight"},
		"one hyperparameter under two names":          {edits{pipe + "training.hyperparameters.min_split_loss", `"1"`}, pipe + "training.hyperparameters.min_split_loss", "got", "another name of gamma"},
	} {
		t.Run(name, func(t *testing.T) {
			document := valid
			for i := 0; i < len(test.edits); i += 2 {
				document = edit(t, document, test.edits[i], test.edits[i+1])
			}
			_, err := Decode([]byte(document), project(t))
			problems, ok := errors.AsType[Problems](err)
			if !ok {
				t.Fatalf("got %v, want problems", err)
			}
			if p := problems[0]; len(problems) == 1 && p.Path == test.path && strings.Contains(p.Got, test.got) && strings.Contains(p.Remedy, test.remedy) {
				return
			}
			t.Errorf("want this problem alone\n  %s\n    %s\n    → %s\ngot: %v", test.path, test.got, test.remedy, problems)
		})
	}
}

func TestNamesThatDoNotFitAreNamed(t *testing.T) {
	for name, test := range map[string]struct {
		from, to          string
		path, got, remedy string
	}{
		"a pipeline with an underscore gets a proposal":   {`"fraud"`, `"Card_Fraud"`, "pipelines.Card_Fraud", `the name "Card_Fraud" doesn't fit`, `such as "card-fraud"`},
		"a pipeline with a dot is quoted in its path":     {`"fraud"`, `"fraud.2"`, `pipelines["fraud.2"]`, `the name "fraud.2" doesn't fit`, `such as "fraud-2"`},
		"a pipeline with a hyphen at its end":             {`"fraud"`, `"fraud-"`, "pipelines.fraud-", `the name "fraud-" doesn't fit`, `such as "fraud"`},
		"an environment that begins with a digit":         {`"dev"`, `"1st"`, "environments.1st", `the name "1st" doesn't fit`, `such as "st"`},
		"an environment with one letter":                  {`"dev"`, `"d"`, "environments.d", `the name "d" has one letter`, "at least two"},
		"a pipeline that is named as the stateful stack":  {`"fraud"`, `"foundation"`, "pipelines.foundation", `the name "foundation" is taken`, "the stack with bucket, key and network"},
		"two pipelines that become one name in SageMaker": {`"churn"`, `"fraud-"`, "pipelines.fraud-", `becomes "ml-dev-fraud", as does pipelines.fraud`, "stay different"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode([]byte(strings.ReplaceAll(valid, test.from, test.to)), project(t))
			problems, _ := errors.AsType[Problems](err)
			for _, p := range problems {
				if p.Path == test.path && strings.Contains(p.Got, test.got) && strings.Contains(p.Remedy, test.remedy) {
					return
				}
			}
			t.Errorf("want the problem\n  %s\n    %s\n    → %s\ngot: %v", test.path, test.got, test.remedy, err)
		})
	}
}

func TestTwoEnvironmentsInOneAccountMustNotMakeOneName(t *testing.T) {
	other := strings.NewReplacer(`"prod"`, `"dev-a"`, "222222222222", "111111111111", `"churn": { "enabled": false }`, `"churn": {}`).Replace(valid)
	other = strings.ReplaceAll(other, `"churn"`, `"b"`)
	other = strings.ReplaceAll(other, `"fraud"`, `"a-b"`)
	_, err := Decode([]byte(other), project(t))
	want := `becomes "ml-dev-a-b" in environments.dev-a, as does environments.dev with pipelines.a-b`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}

	apart := strings.ReplaceAll(other, "111111111111", "222222222222")
	apart = strings.Replace(apart, "222222222222", "111111111111", 2)
	if _, err := Decode([]byte(apart), project(t)); err != nil && strings.Contains(err.Error(), "as does") {
		t.Errorf("in accounts of their own the names don't meet: %v", err)
	}
}

func TestAKeyThatIsWrittenTwiceIsAProblem(t *testing.T) {
	for name, test := range map[string]struct{ from, to, path string }{
		"a pipeline":               {`"churn": {`, `"fraud": {`, "pipelines.fraud"},
		"a key inside a pipeline":  {`"schedule": { "expression": "rate(7 days)" }`, `"schedule": { "expression": "rate(7 days)", "expression": "rate(1 day)" }`, "pipelines.churn.schedule.expression"},
		"a key of the environment": {`"pollSeconds": 1`, `"pollSeconds": 1, "pollSeconds": 2`, "environments.local.pollSeconds"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode([]byte(strings.ReplaceAll(valid, test.from, test.to)), project(t))
			want := Problem{test.path, "is written twice in the same object", "keep one of them: the last would silently win"}
			problems, _ := errors.AsType[Problems](err)
			if !slices.Contains(problems, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
}

func TestAllProblemsComeAtOnceSortedByPath(t *testing.T) {
	document := edit(t, valid, "project", `"ML"`)
	document = edit(t, document, "environments.dev.account", `"1"`)
	document = edit(t, document, "environments.dev.network.create.cidr", `"10.0.0.1/20"`)
	document = edit(t, document, "environments.prod.pipelines.fraud.schedule.timeZone", `"Mars"`)
	document = edit(t, document, "pipelines.churn.dataset.split.train", `0.9`)
	document = edit(t, document, "pipelines.fraud.source.query", `"queries/none.sql"`)
	_, err := Decode([]byte(document), project(t))
	problems, _ := errors.AsType[Problems](err)
	var paths []string
	for _, p := range problems {
		paths = append(paths, p.Path)
	}
	want := []string{"environments.dev.account", "environments.dev.network.create.cidr", "environments.prod.pipelines.fraud.schedule.timeZone",
		"pipelines.churn.dataset.split", "pipelines.fraud.source.query", "project"}
	if !slices.Equal(paths, want) {
		t.Errorf("got %v, want %v", paths, want)
	}
}

func TestProblemsFitATerminal(t *testing.T) {
	_, err := Decode([]byte(edit(t, valid, "pipelines.fraud.training.hyperparameters.zzz", `"`+strings.Repeat("long ", 100)+`"`)), project(t))
	for line := range strings.Lines(err.Error()) {
		if len([]rune(strings.TrimSuffix(line, "\n"))) > lineWidth {
			t.Errorf("%d characters in a line: %s", len([]rune(line)), line)
		}
	}
}
