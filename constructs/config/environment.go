package config

import "encoding/json"

// Environment is one place to deploy to.
type Environment struct {
	// The AWS account.
	Account string `json:"account" required:"true" pattern:"^[0-9]{12}$" form:"the 12 digits of an AWS account, in quotes"`
	// The AWS region.
	Region string `json:"region" required:"true" pattern:"^[a-z]{2}(-[a-z]+)+-[0-9]$" form:"the name of an AWS region, such as eu-central-1"`
	// The zones of a created network, such as eu-central-1a: written here so that nothing is looked up in AWS while
	// templates are made. Needed where `network.create` is.
	AvailabilityZones []string `json:"availabilityZones"`
	// Where the export function and the training jobs run.
	Network Network `json:"network" required:"true"`
	// The SQL Server that the pipelines read.
	Database Database `json:"database" required:"true"`
	// The processor of the functions. `host` is the processor of the machine that deploys, for an emulator that runs
	// functions as processes of that machine; only with `network.none`.
	Architecture string `json:"architecture" default:"arm64" enum:"arm64,x86_64,host"`
	// How long logs are kept, in days.
	LogRetentionDays int `json:"logRetentionDays" default:"30" enum:"1,3,5,7,14,30,60,90,120,150,180,365,400,545,731,1096,1827,2192,2557,2922,3288,3653" limit:"CloudWatch Logs, PutRetentionPolicy"`
	// Who is told about runs.
	Notify Notify `json:"notify"`
	// Whether a person decides on each model before it is put into service. Without it the gate alone does.
	Approval *Approval `json:"approval"`
	// Destroying the stage also deletes the bucket with all data and models, the key, and a provisioned database with its
	// backups. Without it bucket and key are kept, and the database leaves a last snapshot.
	RemoveData bool `json:"removeData" default:"false"`
	// Guards the stack that holds the bucket, key and database against deletion.
	TerminationProtection bool `json:"terminationProtection" defaultText:"true, but false where removeData is true"`
	// How often the workflow looks at an endpoint that is being changed, in seconds.
	PollSeconds int `json:"pollSeconds" default:"30" min:"1" max:"3600" limit:"an endpoint is watched for hours at most"`
	// How often the clocks of pipelines are read and put into CloudWatch, in seconds: whole minutes.
	ClockSeconds int `json:"clockSeconds" default:"300" min:"60" max:"3600" limit:"EventBridge's rates, and alarms that come in time"`
	// What is different for pipelines here, by the pipeline's name: merged deep over the pipeline. Objects are merged key
	// by key, anything else replaces, null takes a value away. `{"enabled": false}` leaves the pipeline out.
	Pipelines map[string]json.RawMessage `json:"pipelines"`
}

// Network is where functions and jobs run: exactly one of the kinds.
type Network struct {
	// A new VPC.
	Create *CreateNetwork `json:"create" oneOf:"kind"`
	// A VPC that is there.
	Import *ImportNetwork `json:"import" oneOf:"kind"`
	// No VPC: functions and jobs reach the database over the public network.
	None bool `json:"none" oneOf:"kind" default:"false"`
}

func (n Network) outsideVPC() bool { return n.None && n.Create == nil && n.Import == nil }

// CreateNetwork is a VPC that the stage makes, with private subnets and the VPC endpoints that the flow needs.
type CreateNetwork struct {
	// The addresses of the VPC.
	CIDR string `json:"cidr" default:"10.40.0.0/20"`
	// How many NAT gateways to pay for. The flow needs none: it reaches AWS by VPC endpoints.
	NATGateways int `json:"natGateways" default:"0" min:"0" max:"6" limit:"one a zone at most"`
}

// ImportNetwork is a VPC that is there, described instead of looked up.
type ImportNetwork struct {
	// The VPC.
	VPCID string `json:"vpcId" required:"true" pattern:"^vpc-[0-9a-f]{8,17}$" form:"the id of a VPC, such as vpc-0a1b2c3d4e5f60718"`
	// The zones of the private subnets, in the subnets' order.
	AvailabilityZones []string `json:"availabilityZones" required:"true"`
	// The private subnets of functions and jobs, one a zone.
	PrivateSubnetIDs []string `json:"privateSubnetIds" required:"true" pattern:"^subnet-[0-9a-f]{8,17}$" form:"the id of a subnet, such as subnet-0a1b2c3d4e5f60718"`
	// The route tables of these subnets, in their order. Needed where the stage makes the VPC endpoints: the one of S3 is
	// a row in each of them.
	PrivateSubnetRouteTableIDs []string `json:"privateSubnetRouteTableIds" pattern:"^rtb-[0-9a-f]{8,17}$" form:"the id of a route table, such as rtb-0a1b2c3d4e5f60718"`
	// The VPC has the endpoints of S3, Secrets Manager, Step Functions and Lambda already, or another way to AWS. Without it the
	// stage makes them.
	EndpointsExist bool `json:"endpointsExist" default:"false"`
}

// Database is the SQL Server: exactly one of import and provision.
type Database struct {
	// A SQL Server that is there.
	Import *ImportDatabase `json:"import" oneOf:"kind"`
	// A new Amazon RDS for SQL Server, in the protected stack.
	Provision *ProvisionDatabase `json:"provision" oneOf:"kind"`
	// A read replica of it, for pipelines whose source has `"readFrom": "replica"`. It has the same database and login, and
	// the same security group. The standby of a Multi-AZ instance is none: it can't be read.
	Replica *Replica `json:"replica"`
}

// Replica is a readable copy of the database, at an address of its own.
type Replica struct {
	// The replica's host name. It must be a name in its certificate.
	Host string `json:"host" required:"true"`
	// The replica's port.
	Port int `json:"port" default:"1433" min:"1" max:"65535" limit:"TCP"`
}

// ImportDatabase is a SQL Server that is there. Host, port and name may be in the secret instead, in the structure that
// AWS gives to secrets of databases; what is written here goes before what the secret says.
type ImportDatabase struct {
	// The server's host name. It must be a name in the server's certificate.
	Host string `json:"host" defaultText:"what the secret says"`
	// The server's port. Security groups are opened for it, or for 1433: a port that only the secret knows, they don't.
	Port int `json:"port" min:"1" max:"65535" limit:"TCP" defaultText:"what the secret says, else 1433"`
	// The database.
	Name string `json:"name" defaultText:"what the secret says"`
	// The server's security group: the stage lets the export function in.
	SecurityGroupID string `json:"securityGroupId" pattern:"^sg-[0-9a-f]{8,17}$" form:"the id of a security group, such as sg-0a1b2c3d4e5f60718" defaultText:"none: the way to the server is open already"`
	// The name of the secret with the read-only login, in the environment's account and region.
	SecretName string `json:"secretName" oneOf:"secret" pattern:"^[A-Za-z0-9/_+=.@-]{1,512}$" form:"the name of a secret (letters, digits and /_+=.@-, 512 at most), never the password itself"`
	// The whole ARN of the secret with the read-only login, for a secret of another account or with a key of its own.
	SecretARN string `json:"secretArn" oneOf:"secret" pattern:"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+-[A-Za-z0-9]{6}$" form:"the whole ARN of a secret, with the six characters at its end"`
}

// ProvisionDatabase is an Amazon RDS for SQL Server that the stage makes. RDS keeps the master user's secret; exports
// never use it.
type ProvisionDatabase struct {
	// The edition.
	Engine string `json:"engine" required:"true" enum:"sqlserver-ex,sqlserver-web,sqlserver-se,sqlserver-ee"`
	// The version, as RDS writes it: 16.00 is SQL Server 2022.
	Version string `json:"version" default:"16.00" pattern:"^1[3-9]\\.00(\\.[0-9]+\\.[0-9]+\\.v[0-9]+)?$" form:"a version as RDS writes it: 16.00 for SQL Server 2022, or all of it, as in 16.00.4175.1.v1"`
	// The size, without RDS's prefix "db.": m6i.large.
	InstanceType string `json:"instanceType" required:"true" pattern:"^[a-z][a-z0-9-]*\\.(micro|small|medium|large|([0-9]+)?xlarge)$" form:"an instance type without the prefix db., such as m6i.large"`
	// The size of the disk, in GiB.
	StorageGiB int `json:"storageGiB" default:"100" min:"20" max:"16384" limit:"Amazon RDS for SQL Server, gp3 storage"`
	// A standby in a second zone. It isn't readable.
	MultiAZ bool `json:"multiAz" default:"false"`
	// The database that exports read. A person creates it: RDS for SQL Server starts without databases.
	Name string `json:"name" required:"true"`
	// The name of the secret with the login that queries/grants/export-login.sql makes: a secret of its own, never the
	// master user's.
	ExportSecretName string `json:"exportSecretName" required:"true" pattern:"^[A-Za-z0-9/_+=.@-]{1,512}$" form:"the name of a secret (letters, digits and /_+=.@-, 512 at most), never the password itself"`
}

// Notify says who is told about runs.
type Notify struct {
	// Addresses that get notices by mail; each has to confirm its subscription once. They also hear of every alarm, and of what the
	// examination after a deployment finds. The topic itself gets the notice of every end.
	Emails []string `json:"emails"`
	// Which ends of runs are mailed.
	Outcomes []string `json:"outcomes" enum:"succeeded,not better,not approved,approval timed out,superseded,rolled back,failed,exported,rejected,no new data,blocked,outside allowed hours,busy,paused" defaultText:"all but exported, no new data, outside allowed hours and busy"`
}
