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
		env   = "environments.dev."
		prod  = "environments.prod."
		pipe  = "pipelines.fraud."
		churn = "pipelines.churn."

		month  = `{"days": 30}`
		byTime = `{"time": {"column": "At", "validationFrom": "2026-01-01T00:00:00Z", "testFrom": "2026-02-01T00:00:00Z"}}`
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
		"an override takes something needed away":                   {edits{prod + "pipelines.fraud.schedule.expression", `null`}, prod + "pipelines.fraud.schedule.expression", "is missing", "write a string"},
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
		"a task that isn't one":                                     {edits{pipe + "dataset.task", `"binray"`}, pipe + "dataset.task", `got "binray"`, `did you mean "binary"?`},
		"no key":                                                    {edits{pipe + "dataset.key", `[]`}, pipe + "dataset.key", "is empty", "write a list of strings"},
		"a label that is the key":                                   {edits{pipe + "dataset.label", `"transactionid"`}, pipe + "dataset.label", "which is in key too", "take it out of key"},
		"a label that is a feature":                                 {edits{pipe + "dataset.features", `["Amount", "IsFraud"]`}, pipe + "dataset.label", "which is in features too", "take it out of features"},
		"a label that is dropped":                                   {edits{pipe + "dataset.drop", `["IsFraud"]`}, pipe + "dataset.label", "which is in drop too", "take it out of drop"},
		"a feature listed twice":                                    {edits{pipe + "dataset.features", `["Amount", "Hour", "amount"]`}, pipe + "dataset.features[2]", `got "amount" a second time`, "take one of them out"},
		"a feature that is the key":                                 {edits{pipe + "dataset.features", `["TransactionId"]`}, pipe + "dataset.features[0]", "which is in key too", "learns rows by heart"},
		"a feature that is dropped":                                 {edits{pipe + "dataset.features", `["A"]`, pipe + "dataset.drop", `["A"]`}, pipe + "dataset.drop[0]", "which is in features too", "take it out of one of them"},
		"a key that is dropped":                                     {edits{pipe + "dataset.drop", `["TransactionId"]`}, pipe + "dataset.drop[0]", "which is in key too", "take it out of drop"},
		"shares that are more than everything":                      {edits{pipe + "dataset.split", `{"train": 0.9}`}, pipe + "dataset.split", "got train 0.9 + validation 0.1 + test 0.1 = 1.1", "add up to 1"},
		"shares that an override makes too many":                    {edits{prod + "pipelines.fraud.dataset.split.test", `0.2`}, prod + "pipelines.fraud.dataset.split", "= 1.1", "add up to 1"},
		"a negative share":                                          {edits{pipe + "dataset.split", `{"train": 0.9, "validation": 0.2, "test": -0.1}`}, pipe + "dataset.split.test", "got -0.1", "from 0 to 1"},
		"nothing to train on":                                       {edits{pipe + "dataset.split", `{"train": 0, "validation": 0.5, "test": 0.5}`}, pipe + "dataset.split.train", "got 0", "above 0"},
		"nothing to validate on":                                    {edits{pipe + "dataset.split", `{"train": 0.9, "validation": 0, "test": 0.1}`}, pipe + "dataset.split.validation", "got 0", "above 0"},
		"more memory than Lambda has":                               {edits{pipe + "export.memoryMiB", `20480`}, pipe + "export.memoryMiB", "got 20480", "from 128 to 10240 (AWS Lambda)"},
		"more connections than memory":                              {edits{churn + "source.partitionBy", `"Id"`, churn + "export.connections", `8`}, churn + "export.memoryMiB", "got 1769, with 8 for connections and 8388608 for maxValueBytes", "write at least 3332"},
		"a value larger than memory":                                {edits{churn + "export.maxValueBytes", `67108864`}, churn + "export.memoryMiB", "got 1769, with 1 for connections", "write at least 2632"},
		"more connections than the largest function has memory for": {edits{churn + "source.partitionBy", `"Id"`, churn + "export", `{"connections": 32, "memoryMiB": 10240}`}, churn + "export.memoryMiB", "got 10240, with 32", "these need 13028 MiB, and AWS Lambda has 10240"},
		"a function that is too small for one connection":           {edits{pipe + "export.memoryMiB", `128`}, pipe + "export.memoryMiB", "got 128", "write at least 504"},
		"more time than Lambda has":                                 {edits{pipe + "export.timeoutSeconds", `901`}, pipe + "export.timeoutSeconds", "got 901", "from 1 to 900 (AWS Lambda)"},
		"more retries than Lambda has":                              {edits{pipe + "export.retryAttempts", `3`}, pipe + "export.retryAttempts", "got 3", "from 0 to 2"},
		"an event that gets too old":                                {edits{pipe + "export.maxEventAgeSeconds", `86400`}, pipe + "export.maxEventAgeSeconds", "got 86400", "from 60 to 21600"},
		"a statement that outlives the function":                    {edits{pipe + "export.timeoutSeconds", `300`}, pipe + "export.statementTimeoutSeconds", "got 780, with 15 for connecting", "write at most 284"},
		"the same by an override, at the pipeline's":                {edits{prod + "pipelines.fraud.export.timeoutSeconds", `300`, pipe + "export.statementTimeoutSeconds", `700`}, pipe + "export.statementTimeoutSeconds", `in the environment "prod"`, "write at most 284"},
		"a lock awaited longer than the statement":                  {edits{pipe + "export.lockTimeoutSeconds", `800`}, pipe + "export.lockTimeoutSeconds", "got 800", "write at most 780"},

		// Loads
		"a load that comes later says what to do instead":    {edits{churn + "source.load", `"upsert"`}, churn + "source.load", `got "upsert"`, "are not merged yet; read the table, or a window of it"},
		"a load that is misspelt":                            {edits{churn + "source.load", `"appnd"`}, churn + "source.load", `got "appnd"`, `did you mean "append"?`},
		"appending without the declaration":                  {edits{churn + "dataset.trainingWindow", month, churn + "source", `{"table": "dbo.T", "load": "append", "cursor": {"rowversion": "V"}}`}, churn + "source.immutable", "is missing", "an append load doesn't see that"},
		"appending without a cursor":                         {edits{churn + "dataset.trainingWindow", month, churn + "source", `{"table": "dbo.T", "load": "append", "immutable": true}`}, churn + "source.cursor", "is missing", `{"rowversion": "RowVer"}`},
		"appending from a query":                             {edits{pipe + "dataset.trainingWindow", month, pipe + "source", `{"query": "queries/fraud.sql", "load": "append", "immutable": true, "cursor": {"identity": "Id"}}`}, pipe + "source.query", `with the load "append"`, "name the base table instead"},
		"appending from a replica":                           {edits{churn + "dataset.trainingWindow", month, churn + "source", appending(`"readFrom": "replica"`), env + "database.replica", `{"host": "r.example.com"}`, prod + "database.replica", `{"host": "r.example.com"}`, "environments.local.database.replica", `{"host": "r.example.com"}`}, churn + "source.readFrom", `with the load "append"`, "doesn't see the transactions that are open on the primary"},
		"appending a window":                                 {edits{churn + "dataset.trainingWindow", month, churn + "source", appending(`"window": {"days": 1}`)}, churn + "source.window", `is beside the load "append"`, "dataset.trainingWindow"},
		"two cursors":                                        {edits{churn + "dataset.trainingWindow", month, churn + "source", appending(`"cursor": {"rowversion": "V", "identity": "Id"}`)}, churn + "source.cursor", "has rowversion and identity", "keep exactly one"},
		"a cursor of no kind":                                {edits{churn + "dataset.trainingWindow", month, churn + "source", appending(`"cursor": {}`)}, churn + "source.cursor", "has none of rowversion, identity, time", "exactly one"},
		"an overlap of a rowversion":                         {edits{churn + "dataset.trainingWindow", month, churn + "source", appending(`"cursor": {"rowversion": "V", "overlapMinutes": 5}`)}, churn + "source.cursor.overlapMinutes", "beside another kind of cursor", "a rowversion needs no overlap"},
		"an overlap of another kind of cursor":               {edits{churn + "dataset.trainingWindow", month, churn + "source", appending(`"cursor": {"time": "At", "overlapValues": 5}`)}, churn + "source.cursor.overlapValues", "got 5", "of the kind identity"},
		"no overlap at all":                                  {edits{churn + "dataset.trainingWindow", month, churn + "source", appending(`"cursor": {"time": "At", "overlapMinutes": 0}`)}, churn + "source.cursor.overlapMinutes", "got 0", "from 1"},
		"a cursor of a full load":                            {edits{churn + "source.cursor", `{"rowversion": "V"}`}, churn + "source.cursor", `is beside the load "full"`, `write "load": "append"`},
		"a declaration for a full load":                      {edits{churn + "source.immutable", `true`}, churn + "source.immutable", "got true", "takes rows as they are"},
		"a window that no parameter uses":                    {edits{pipe + "source.window", `{"days": 90}`}, pipe + "source.window", "is used by nothing", "WHERE OccurredAt >= @windowStart"},
		"a window that only a comment uses":                  {edits{pipe + "source", `{"query": "queries/end.sql", "window": {"days": 90}}`}, pipe + "source.window", "is used by nothing", "leave the window out"},
		"a window that a query uses and nobody says":         {edits{pipe + "source.query", `"queries/window.sql"`}, pipe + "source.window", "is missing, and the query uses @windowStart", `{"days": 90}`},
		"a window of a table":                                {edits{churn + "source.window", `{"days": 90}`}, churn + "source.window", "is of a table", "write a query with @windowStart"},
		"a window in two units":                              {edits{pipe + "source", `{"query": "queries/window.sql", "window": {"days": 90, "hours": 2}}`}, pipe + "source.window", "has days and hours", "keep exactly one"},
		"a window of no length":                              {edits{pipe + "source", `{"query": "queries/window.sql", "window": {"days": 0}}`}, pipe + "source.window.days", "got 0", "from 1"},
		"a snapshot over ranges":                             {edits{churn + "source.consistency", `"snapshot"`, churn + "source.partitionBy", `"CustomerId"`}, churn + "source.partitionBy", `beside the consistency "snapshot"`, "connections can't share a snapshot"},
		"counted rows without a snapshot":                    {edits{churn + "source.countRows", `true`}, churn + "source.countRows", `the consistency "statement"`, "may be others"},
		"a snapshot over connections":                        {edits{churn + "source.consistency", `"snapshot"`, churn + "export.connections", `4`}, churn + "export.connections", "got 4", "one statement is read by one connection"},
		"connections without ranges":                         {edits{pipe + "export.connections", `4`}, pipe + "export.connections", "got 4", "source.partitionBy"},
		"more connections than anybody should open":          {edits{churn + "export.connections", `33`, churn + "source.partitionBy", `"CustomerId"`}, churn + "export.connections", "got 33", "from 1 to 32"},
		"a pace without pages":                               {edits{pipe + "export.rowsPerSecond", `1000`}, pipe + "export.rowsPerSecond", "got 1000", "a single statement can only be stalled"},
		"ranges of a query that can't be a part of another":  {edits{pipe + "source", `{"query": "queries/with.sql", "partitionBy": "A"}`}, pipe + "source.partitionBy", "begins with WITH", "or as a view"},
		"a policy that doesn't exist":                        {edits{churn + "source.onChange", `"newgeneration"`}, churn + "source.onChange", "got", `did you mean "newGeneration"?`},
		"a consent that doesn't exist":                       {edits{churn + "source.accept", `["nolocks"]`}, churn + "source.accept[0]", `got "nolocks"`, `did you mean "nolock"?`},
		"a consent given twice":                              {edits{churn + "source.accept", `["fullScan", "nolock", "fullScan"]`}, churn + "source.accept[2]", "a second time", "take one of them out"},
		"a replica that the environment doesn't have":        {edits{prod + "pipelines.fraud.source.readFrom", `"replica"`}, prod + "database.replica", `is missing, and the pipeline "fraud" reads from it`, `{"fraud": {"source": {"readFrom": "primary"}}}`},
		"a replica that is the primary":                      {edits{prod + "database.replica", `{"host": "SQLServer.example.com"}`}, prod + "database.replica.host", "the primary's own address", "leave the replica out"},
		"a replica with its port in the name":                {edits{prod + "database.replica", `{"host": "r.example.com:1433"}`}, prod + "database.replica.host", "got", "the port has a key of its own"},
		"hours that end when they begin":                     {edits{churn + "export.allowedHours", `{"from": "22:00", "to": "22:00"}`}, churn + "export.allowedHours.to", `got "22:00", the same as from`, "leave allowedHours out"},
		"hours that no clock shows":                          {edits{churn + "export.allowedHours", `{"from": "24:00", "to": "5:00"}`, churn + "export.allowedHours.to", `"05:00"`}, churn + "export.allowedHours.from", `got "24:00"`, "such as 22:00"},
		"hours in a zone that doesn't exist":                 {edits{churn + "export.allowedHours", `{"from": "22:00", "to": "05:00", "timeZone": "Berlin"}`}, churn + "export.allowedHours.timeZone", `got "Berlin"`, `did you mean "Europe/Berlin"?`},
		"a value larger than a function can hold":            {edits{churn + "export.maxValueBytes", `2000000000`}, churn + "export.maxValueBytes", "got 2000000000", "from 8000 to 268435456"},
		"an application's name that SQL Server doesn't show": {edits{churn + "export.applicationName", `"Ümläut"`}, churn + "export.applicationName", "got", "128 characters of ASCII"},

		// Columns
		"a column that is read and isn't":                   {edits{pipe + "dataset.include", `["TransactionId", "IsFraud", "A"]`, pipe + "dataset.drop", `["a"]`}, pipe + "dataset.drop[0]", "which is in include too", "take it out of one of them"},
		"a key that isn't read":                             {edits{pipe + "dataset.include", `["IsFraud", "A"]`}, pipe + "dataset.include", `lacks "TransactionId", which is in key`, "isn't read"},
		"a label that isn't read":                           {edits{pipe + "dataset.include", `["TransactionId", "A"]`}, pipe + "dataset.include", `lacks "IsFraud", which is the label`, "isn't read"},
		"a feature that isn't read":                         {edits{pipe + "dataset.include", `["TransactionId", "IsFraud"]`, pipe + "dataset.features", `["A"]`}, pipe + "dataset.include", `lacks "A", which is in features`, "isn't read"},
		"a column of ranges that isn't read":                {edits{churn + "dataset.drop", `["N"]`, churn + "source.partitionBy", `"N"`}, churn + "dataset.drop[0]", "which is source.partitionBy too", "the export looks at its values"},
		"a cursor with an overlap that isn't read":          {edits{churn + "dataset.trainingWindow", month, churn + "source", appending(`"cursor": {"identity": "Id"}`), churn + "dataset.drop", `["ID"]`}, churn + "dataset.drop[0]", "which is source.cursor too", "the export looks at its values"},
		"a column of the split by time that isn't read":     {edits{churn + "dataset.drop", `["At"]`, churn + "dataset.split", byTime}, churn + "dataset.drop[0]", "which is dataset.split.time.column too", "take it out of drop"},
		"dropping from a query that can't be a part":        {edits{pipe + "source.query", `"queries/with.sql"`, pipe + "dataset.drop", `["A"]`}, pipe + "dataset.drop", "begins with WITH", "for drop it becomes a part of another statement"},
		"a rule of no kind":                                 {edits{pipe + "dataset.columns", `{"A": {}}`}, pipe + "dataset.columns.A", "has none of hash, cast, oneHot, ordinal", "exactly one"},
		"two rules at once":                                 {edits{pipe + "dataset.columns", `{"A": {"hash": true, "cast": "float"}}`}, pipe + "dataset.columns.A", "has hash and cast", "keep exactly one"},
		"a rule under two spellings":                        {edits{pipe + "dataset.columns", `{"A": {"cast": "float"}, "a": {"cast": "real"}}`}, pipe + "dataset.columns.a", "two spellings", "SQL Server takes them for one column"},
		"a rule for a dropped column":                       {edits{pipe + "dataset.columns", `{"A": {"cast": "float"}}`, pipe + "dataset.drop", `["a"]`}, pipe + "dataset.columns.A", "is in drop too", "take it out of one of them"},
		"a rule for a column that isn't read":               {edits{pipe + "dataset.columns", `{"A": {"cast": "float"}}`, pipe + "dataset.include", `["TransactionId", "IsFraud", "B"]`}, pipe + "dataset.columns.A", "isn't in include", "add it to include"},
		"a cast to what is no type":                         {edits{pipe + "dataset.columns", `{"A": {"cast": "geography"}}`}, pipe + "dataset.columns.A.cast", `got "geography"`, "can't be cast to geography"},
		"a cast that would round":                           {edits{pipe + "dataset.columns", `{"A": {"cast": "decimal"}}`}, pipe + "dataset.columns.A.cast", `got "decimal"`, "decimal(18,4)"},
		"a cast in a query that can't be a part":            {edits{pipe + "source.query", `"queries/with.sql"`, pipe + "dataset.columns", `{"A": {"cast": "float"}}`}, pipe + "dataset.columns.A.cast", "begins with WITH", "for cast"},
		"a cast of the column of ranges":                    {edits{churn + "source.partitionBy", `"A"`, churn + "dataset.columns", `{"A": {"cast": "float"}}`}, churn + "dataset.columns.A", "is source.partitionBy", "as the database has them"},
		"a hash of the label":                               {edits{pipe + "dataset.columns", `{"IsFraud": {"hash": true}}`}, pipe + "dataset.columns.IsFraud.hash", "got true for the label", "what is learnt is a number"},
		"a hash of a feature":                               {edits{pipe + "dataset.columns", `{"A": {"hash": true}}`, pipe + "dataset.features", `["A"]`}, pipe + "dataset.columns.A.hash", "got true for a feature", "a hash is a text"},
		"categories of the key":                             {edits{pipe + "dataset.columns", `{"TransactionId": {"oneHot": ["1"]}}`}, pipe + "dataset.columns.TransactionId.oneHot", "the column is none", "are no features"},
		"categories of what is no feature":                  {edits{pipe + "dataset.columns", `{"A": {"ordinal": ["x", "y"]}}`, pipe + "dataset.features", `["B"]`}, pipe + "dataset.columns.A.ordinal", "isn't in features", "add the column to features"},
		"no categories":                                     {edits{pipe + "dataset.columns", `{"A": {"oneHot": []}}`}, pipe + "dataset.columns.A.oneHot", "is empty", "write the categories"},
		"a category twice":                                  {edits{pipe + "dataset.columns", `{"A": {"oneHot": ["x", "y", "x"]}}`}, pipe + "dataset.columns.A.oneHot[2]", `got "x" a second time`, "take one of them out"},
		"what is unknown without categories":                {edits{pipe + "dataset.columns", `{"A": {"cast": "float", "unknown": "missing"}}`}, pipe + "dataset.columns.A.unknown", "without categories", "belongs to oneHot and ordinal"},
		"positive values of a number":                       {edits{churn + "dataset.positive", `["x"]`}, churn + "dataset.positive", `is beside the task "regression"`, "its label is a number"},
		"no positive values":                                {edits{pipe + "dataset.positive", `[]`}, pipe + "dataset.positive", "is empty", "the label's values that mean 1"},
		"a split by time without the moments":               {edits{churn + "dataset.split", `{"time": {"column": "At", "validationFrom": "2026-01-01T00:00:00Z"}}`}, churn + "dataset.split.time.testFrom", "is missing", "write a string"},
		"a split by time and by shares":                     {edits{churn + "dataset.split", byTime, churn + "dataset.split.train", `0.7`}, churn + "dataset.split.train", "got 0.7 beside a split by time", "leave it out"},
		"a moment without its zone":                         {edits{churn + "dataset.split", `{"time": {"column": "At", "validationFrom": "2026-01-01", "testFrom": "2026-02-01T00:00:00Z"}}`}, churn + "dataset.split.time.validationFrom", `got "2026-01-01"`, "such as 2026-01-01T00:00:00Z"},
		"a test before the validation":                      {edits{churn + "dataset.split", `{"time": {"column": "At", "validationFrom": "2026-02-01T00:00:00Z", "testFrom": "2026-01-01T00:00:00Z"}}`}, churn + "dataset.split.time.testFrom", "got", "a time after validationFrom"},
		"a training window of a full load":                  {edits{churn + "dataset.trainingWindow", `{"days": 30}`}, churn + "dataset.trainingWindow", `is beside the load "full"`, "source.window"},
		"a training without a window":                       {edits{churn + "source", appending(`"cursor": {"rowversion": "V"}`)}, churn + "dataset.trainingWindow", "is missing", `such as {"days": 90}`},
		"a training window of too many runs":                {edits{churn + "source", appending(`"cursor": {"rowversion": "V"}`), churn + "dataset.trainingWindow", `{"days": 174}`, churn + "schedule.expression", `"rate(5 minutes)"`}, churn + "dataset.trainingWindow", "has 50112 runs at rate(5 minutes)", "at most 173 days"},
		"a training window of too many runs by an override": {edits{"pipelines.fraud.source", appending(`"cursor": {"rowversion": "V"}`), "pipelines.fraud.dataset.trainingWindow", `{"hours": 2400}`, prod + "pipelines.fraud.schedule.expression", `"rate(1 minute)"`}, "pipelines.fraud.dataset.trainingWindow", `in the environment "prod"`, "at most 34 days"},

		// Exporting alone
		"channels without a task":                   {edits{pipe + "dataset.task", gone}, pipe + "dataset.task", "is missing", `"channels": "none"`},
		"channels without a label":                  {edits{pipe + "dataset.label", gone}, pipe + "dataset.label", "is missing", `"channels": "none"`},
		"a model that nobody serves":                {edits{churn + "endpoint", gone}, churn + "endpoint", "is missing", "only exports"},
		"an endpoint without a model":               {edits{churn + "training", gone}, churn + "training", "is missing", "only exports"},
		"a training without channels":               {edits{churn + "dataset", `{"channels": "none", "key": ["CustomerId"]}`, churn + "endpoint", gone}, churn + "training", "got an object", `with "channels": "none" nothing is trained`},
		"an endpoint without channels":              {edits{churn + "dataset", `{"channels": "none", "key": ["CustomerId"]}`, churn + "training", gone}, churn + "endpoint", "got an object", "leave it out"},
		"a label without channels":                  {edits{churn + "dataset", `{"channels": "none", "key": ["CustomerId"], "label": "Spent"}`, churn + "training", gone, churn + "endpoint", gone}, churn + "dataset.label", `got "Spent"`, "leave it out"},
		"a split without channels":                  {edits{churn + "dataset", `{"channels": "none", "key": ["CustomerId"], "split": {"train": 1}}`, churn + "training", gone, churn + "endpoint", gone}, churn + "dataset.split", "got an object", "leave it out"},
		"features without channels":                 {edits{churn + "dataset", `{"channels": "none", "key": ["CustomerId"], "columns": {"A": {"oneHot": ["x"]}}}`, churn + "training", gone, churn + "endpoint", gone}, churn + "dataset.columns.A.oneHot", `channels is "none"`, "Parquet has the column as it is"},
		"channels of a form that nobody writes":     {edits{pipe + "dataset.channels", `"libsvm"`}, pipe + "dataset.channels", `got "libsvm"`, "one of csv, none"},
		"an override that takes the endpoint alone": {edits{prod + "pipelines.fraud.endpoint", `null`}, prod + "pipelines.fraud.endpoint", "is missing", "only exports"},

		// Quality
		"quality that asks for nothing":    {edits{pipe + "quality", `{"private": ["A"]}`}, pipe + "quality", "has neither rules nor drift", "or leave it out"},
		"a file of rules that isn't there": {edits{pipe + "quality", `{"rules": "queries/fruad.dqdl"}`}, pipe + "quality.rules", `got "queries/fruad.dqdl"`, "did you mean queries/fraud.dqdl?"},
		"a rule that nobody judges":        {edits{pipe + "quality", `{"rules": "Rules = [ RowCount > 0, Entropy \"A\" > 1 ]"}`}, pipe + "quality.rules", "has a problem in line 1, column 25", "the rule type Entropy is not judged here"},
		"a rule on what isn't read":        {edits{pipe + "quality", `{"rules": "Rules = [ IsComplete \"a\" ]"}`, pipe + "dataset.drop", `["A"]`}, pipe + "quality.rules", "line 1, column 11", "dataset.drop leaves out"},
		"a file without rules":             {edits{pipe + "quality", `{"rules": "queries/empty.dqdl"}`}, pipe + "quality.rules", "of queries/empty.dqdl", "there are no rules"},
		"a private column that isn't read": {edits{pipe + "quality", `{"drift": {}, "private": ["A", "B"]}`, pipe + "dataset.drop", `["b"]`}, pipe + "quality.private[1]", `got "B", which isn't read`, "take it out"},
		"a private column twice":           {edits{pipe + "quality", `{"drift": {}, "private": ["A", "a"]}`}, pipe + "quality.private[1]", "a second time", "take one of them out"},
		"drift by more than everything":    {edits{pipe + "quality", `{"drift": {"nulls": 2}}`}, pipe + "quality.drift.nulls", "got 2", "from 0 to 1"},
		"rules in a list":                  {edits{pipe + "quality", `{"rules": ["RowCount > 0"]}`}, pipe + "quality.rules", "got a list of 1", "write a string"},

		// When, spot, machines, image
		"no machine at all":                                {edits{pipe + "training.instanceType", gone}, pipe + "training", "has none of instanceType, instanceTypes", "exactly one"},
		"a machine and a list of machines":                 {edits{churn + "training.instanceTypes", `["ml.m6i.xlarge"]`}, churn + "training", "has instanceType and instanceTypes", "keep exactly one"},
		"a list of machines without machines":              {edits{pipe + "training.instanceType", gone, pipe + "training.instanceTypes", `[]`}, pipe + "training.instanceTypes", "is empty", "one to five"},
		"six machines":                                     {edits{pipe + "training.instanceType", gone, pipe + "training.instanceTypes", `["ml.m6i.large", "ml.m5.large", "ml.m7i.large", "ml.c6i.large", "ml.c5.large", "ml.r5.large"]`}, pipe + "training.instanceTypes", "got a list of 6", "a list of 1 to 5 strings"},
		"a machine twice":                                  {edits{pipe + "training.instanceType", gone, pipe + "training.instanceTypes", `["ml.m6i.large", "ml.m6i.large"]`}, pipe + "training.instanceTypes[1]", "a second time", "take one of them out"},
		"rows that a full load can't count":                {edits{pipe + "training.when", `{"afterRows": 1000}`}, pipe + "training.when.afterRows", `got 1000 with the load "full"`, "everyHours or everyMinutes"},
		"two rhythms":                                      {edits{pipe + "training.when", `{"everyHours": 1, "afterRows": 1000}`, pipe + "training.when.afterRows", gone, pipe + "training.when.everyMinutes", `5`}, pipe + "training.when", "has everyHours and everyMinutes", "keep exactly one"},
		"a rhythm of nothing":                              {edits{pipe + "training.when", `{}`}, pipe + "training.when", "has none of everyHours, everyMinutes, afterRows", "exactly one"},
		"a spot job that may wait less than it runs":       {edits{pipe + "training.spot", `{"maxWaitSeconds": 3599}`}, pipe + "training.spot.maxWaitSeconds", "got 3599, with 3600 for maxRuntimeSeconds", "write at least 3600"},
		"a spot job that can't go on":                      {edits{pipe + "training.spot", `{}`, pipe + "training.hyperparameters.use_dask_gpu_training", `"true"`}, pipe + "training.spot.maxWaitSeconds", "got 7200", "write at most 3600"},
		"a training without hyperparameters":               {edits{pipe + "training.hyperparameters", gone, prod + "pipelines.fraud.training", gone}, pipe + "training.hyperparameters", "is missing", "num_round"},
		"an image of another registry":                     {edits{pipe + "training.image", `{"uri": "docker.io/library/xgboost:1.7"}`, pipe + "training.hyperparameters", gone, prod + "pipelines.fraud.training", gone}, pipe + "training.image.uri", "got", "an image of Amazon ECR"},
		"an image whose tag moves":                         {edits{pipe + "training.image", ownImage("eu-central-1", "latest"), pipe + "training.hyperparameters", gone, prod + "pipelines.fraud.training", gone, "environments.local.region", `"eu-central-1"`}, pipe + "training.image.uri", "latest", "write a tag that stays"},
		"hyperparameters of the algorithm beside an image": {edits{pipe + "training.image", ownImage("eu-central-1", "1.4"), prod + "pipelines.fraud.training", gone, "environments.local.region", `"eu-central-1"`}, pipe + "training.hyperparameters", "beside an image", "write them in image.hyperparameters"},
		"a version beside an image":                        {edits{pipe + "training.image", ownImage("eu-central-1", "1.4"), pipe + "training.version", `"3.2-0"`, pipe + "training.hyperparameters", gone, prod + "pipelines.fraud.training", gone, "environments.local.region", `"eu-central-1"`}, pipe + "training.version", "beside an image", "leave it out"},
		"an image in another region":                       {edits{pipe + "training.image", ownImage("eu-central-1", "1.4"), pipe + "training.hyperparameters", gone, prod + "pipelines.fraud.training", gone}, "environments.local.region", `the pipeline "fraud" has an image in eu-central-1`, "replicate the image"},

		// Gate
		"a metric of another kind of task":  {edits{pipe + "gate.metric", `"rmse"`}, pipe + "gate.metric", `got "rmse"`, "auc, logloss, f1"},
		"a metric that nobody knows":        {edits{pipe + "gate.metric", `"acu"`}, pipe + "gate.metric", `got "acu"`, `did you mean "auc"?`},
		"a hold-out without rows":           {edits{pipe + "gate.holdout", `"test"`, pipe + "dataset.split", `{"validation": 0.2, "test": 0}`}, pipe + "gate.holdout", `the split has no test rows`, "dataset.split.test"},
		"a least value of what falls":       {edits{churn + "gate.atLeast", `0.5`}, churn + "gate.atLeast", "got 0.5 for rmse", "write atMost"},
		"a greatest value of what grows":    {edits{pipe + "gate.atMost", `0.5`}, pipe + "gate.atMost", "got 0.5 for auc", "write atLeast"},
		"the log loss of zeros and ones":    {edits{pipe + "gate.metric", `"logloss"`, pipe + "training.hyperparameters.objective", `"binary:hinge"`}, pipe + "gate.metric", `with the objective "binary:hinge"`, "has no end"},
		"a threshold of a gate that is off": {edits{pipe + "gate", `{"enabled": false, "worse": 0.1}`}, pipe + "gate.worse", `got 0.1 beside "enabled": false`, "nothing is measured"},

		// Kinds of endpoints
		"an endpoint without machines":              {edits{churn + "endpoint.instanceType", gone}, churn + "endpoint.instanceType", "is missing", `"serverless", or "batch"`},
		"a serverless endpoint without its size":    {edits{churn + "endpoint", `{"kind": "serverless"}`, prod + "network", `{"none": true}`, env + "network", `{"none": true}`, env + "database", `{"import": {"secretName": "a"}}`, prod + "database.import.securityGroupId", gone}, churn + "endpoint.serverless", "is missing", "or {} for 2048 and 5"},
		"a serverless endpoint in a VPC":            {edits{"pipelines.fraud.endpoint", `{"kind": "serverless", "serverless": {}}`, prod + "pipelines.fraud.enabled", `false`, prod + "pipelines.fraud.endpoint", gone, "environments.local.network", `{"none": true}`}, env + "network", `the pipeline "fraud", whose endpoint is serverless`, "no serverless endpoint into a VPC"},
		"a serverless size of another kind":         {edits{churn + "endpoint.serverless", `{}`}, churn + "endpoint.serverless", `is beside the kind "endpoint"`, `"kind": "serverless"`},
		"a serverless memory in between":            {edits{churn + "endpoint.serverless", `{"memoryMiB": 1500}`, churn + "endpoint.kind", `"endpoint"`}, churn + "endpoint.serverless.memoryMiB", "got 1500", "1024, 2048"},
		"steps that take all day":                   {edits{churn + "endpoint.traffic", `{"kind": "linear", "percent": 10, "waitSeconds": 3600}`, churn + "endpoint.instanceCount", `10`, churn + "endpoint.alarms", `{}`}, churn + "endpoint.traffic.waitSeconds", "got 3600 for each of 10 steps", "8 hours"},
		"a job's time of an endpoint":               {edits{churn + "endpoint.maxRuntimeSeconds", `60`}, churn + "endpoint.maxRuntimeSeconds", `got 60 beside the kind "endpoint"`, "the job of a batch"},
		"a batch with alarms":                       {edits{churn + "endpoint", `{"kind": "batch", "alarms": {}}`}, churn + "endpoint.alarms", `beside the kind "batch"`, "nothing serves"},
		"autoscaling that runs backwards":           {edits{churn + "endpoint.autoscaling", `{"min": 3, "max": 2, "invocationsPerInstance": 100}`}, churn + "endpoint.autoscaling.max", "got 2, with 3 for min", "write at least 3"},
		"a beginning outside of autoscaling":        {edits{churn + "endpoint.autoscaling", `{"min": 2, "max": 4, "invocationsPerInstance": 100}`, churn + "endpoint.instanceCount", `1`}, churn + "endpoint.instanceCount", "got 1 beside autoscaling from 2 to 4", "leave it out"},
		"autoscaling of a burstable machine":        {edits{churn + "endpoint", `{"instanceType": "ml.t2.medium", "autoscaling": {"min": 1, "max": 2, "invocationsPerInstance": 100}}`}, churn + "endpoint.instanceType", `got "ml.t2.medium" beside autoscaling`, "CPU credits"},
		"a canary of one machine":                   {edits{churn + "endpoint.traffic", `{"kind": "canary"}`, churn + "endpoint.alarms", `{}`}, churn + "endpoint.instanceCount", `is 1 beside the traffic "canary"`, "at least 2"},
		"a canary of autoscaling's one machine":     {edits{churn + "endpoint.traffic", `{"kind": "canary"}`, churn + "endpoint.alarms", `{}`, churn + "endpoint.autoscaling", `{"min": 1, "max": 2, "invocationsPerInstance": 100}`}, churn + "endpoint.autoscaling.min", `is 1 beside the traffic "canary"`, "at least 2"},
		"a canary that nobody watches":              {edits{churn + "endpoint.traffic", `{"kind": "canary"}`, churn + "endpoint.instanceCount", `2`}, churn + "endpoint.alarms", `is missing beside the traffic "canary"`, "write {}"},
		"a canary of less than a machine":           {edits{churn + "endpoint.traffic", `{"kind": "canary", "percent": 10}`, churn + "endpoint.instanceCount", `3`, churn + "endpoint.alarms", `{}`}, churn + "endpoint.traffic.percent", "got 10 of 3 machines", "write at least 34"},
		"a canary of more than half":                {edits{churn + "endpoint.traffic", `{"kind": "canary", "percent": 51}`, churn + "endpoint.instanceCount", `3`, churn + "endpoint.alarms", `{}`}, churn + "endpoint.traffic.percent", "got 51", "from 1 to 50"},
		"linear steps that are too small":           {edits{churn + "endpoint.traffic", `{"kind": "linear", "percent": 5}`, churn + "endpoint.instanceCount", `50`, churn + "endpoint.alarms", `{}`}, churn + "endpoint.traffic.percent", "got 5", "10 to 50"},
		"a share of everything":                     {edits{churn + "endpoint.traffic", `{"percent": 50}`}, churn + "endpoint.traffic.percent", `with the kind "allAtOnce"`, "leave it out"},
		"an update that is over before an alarm":    {edits{churn + "endpoint.traffic", `{"waitSeconds": 60, "terminationWaitSeconds": 60}`, churn + "endpoint.alarms", `{}`}, churn + "endpoint.traffic.waitSeconds", "got 60 beside alarms, and 60", "at least 180 together"},
		"steps that are over before an alarm comes": {edits{churn + "endpoint.traffic", `{"kind": "canary", "waitSeconds": 120}`, churn + "endpoint.instanceCount", `2`, churn + "endpoint.alarms", `{}`}, churn + "endpoint.traffic.waitSeconds", "got 120", "write at least 180"},
		"a machine that guardrails exclude":         {edits{churn + "endpoint", `{"instanceType": "ml.inf1.xlarge", "alarms": {}}`}, churn + "endpoint.instanceType", `got "ml.inf1.xlarge"`, "exclude Inf1"},
		"nothing to go back to":                     {edits{churn + "endpoint.keep", `1`}, churn + "endpoint.keep", "got 1", "from 2 to 20"},
		"a capture of nothing":                      {edits{churn + "endpoint.capture", `{}`}, churn + "endpoint.capture.percent", "is missing", "from 1 to 100"},

		// Clocks, approval, notices
		"a clock that goes off between two ticks": {edits{churn + "clocks.tickMinutes", `10080`}, churn + "clocks.tickMinutes", "got 10080", "write more than 10080: there may be 7 days between two ticks of rate(7 days)"},
		"data that is always too old":             {edits{pipe + "clocks.dataMinutes", `1440`}, pipe + "clocks.dataMinutes", "got 1440", "write more than 2820: there may be 47 hours between two ticks"},
		"a model that is always too old":          {edits{churn + "clocks.modelMinutes", `20000`, churn + "training.when", `{"everyHours": 400}`}, churn + "clocks.modelMinutes", "got 20000", "write more than 24000: training.when"},
		"a model's clock without a model":         {edits{churn + "dataset", `{"channels": "none", "key": ["CustomerId"]}`, churn + "training", gone, churn + "endpoint", gone, churn + "clocks.modelMinutes", `20000`}, churn + "clocks.modelMinutes", "got 20000", "has no model"},
		"a reminder after the time is up":         {edits{env + "approval", `{"timeoutHours": 24}`}, env + "approval.remindHours", "got 24, with 24 for timeoutHours", "at most 23"},
		"an approval within the hour":             {edits{env + "approval", `{"timeoutHours": 1, "remindHours": 1}`}, env + "approval.remindHours", "got 1, with 1 for timeoutHours", "at least 2 for timeoutHours"},
		"an approval that waits for a month":      {edits{env + "approval", `{"timeoutHours": 720}`}, env + "approval.timeoutHours", "got 720", "two weeks"},
		"clocks that are read at half minutes":    {edits{env + "clockSeconds", `90`}, env + "clockSeconds", "got 90", "a multiple of 60"},
		"an outcome that isn't one":               {edits{env + "notify.outcomes", `["failed", "done"]`}, env + "notify.outcomes[1]", `got "done"`, "failed"},
		"an outcome twice":                        {edits{env + "notify.outcomes", `["failed", "failed"]`}, env + "notify.outcomes[1]", "a second time", "take one of them out"},

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

// ownImage is an image of one's own.
func ownImage(region, tag string) string {
	return `{"uri": "111111111111.dkr.ecr.` + region + `.amazonaws.com/team/fraud:` + tag + `"}`
}

// appending is a source that is right, but for what is different.
func appending(different string) string {
	key, _, _ := strings.Cut(different, ":")
	source := `{"table": "dbo.T", "load": "append", "immutable": true`
	if key != `"cursor"` {
		source += `, "cursor": {"rowversion": "V"}`
	}
	return source + ", " + different + "}"
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
