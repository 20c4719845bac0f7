package constructs

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsrds"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// SourceDatabase is how an export finds a SQL Server and logs in to it.
type SourceDatabase struct {
	// SecretID is the ARN or the name of the secret with the read-only login, in AWS's structure for SQL Server:
	// {"engine":"sqlserver","host":…,"port":…,"username":…,"password":…,"dbname":…}. It may not be the master user's.
	SecretID string
	// Host, Port and Name go before what the secret says; a token of an instance of the app is fine.
	// Default: what the secret says.
	Host, Port, Name string
	// ReplicaHost and ReplicaPort are a read replica with the same database and login, for pipelines that read from one.
	// Default: there is none.
	ReplicaHost, ReplicaPort string
}

// DefaultSQLServerPort is where SQL Server listens when nobody says otherwise.
const DefaultSQLServerPort = 1433

// ExportUser is the login that exports use on a provisioned database. queries/grants/export-login.sql makes it.
const ExportUser = "pipeline_export"

// secretReference is what a role's policy says about a secret.
type secretReference struct {
	// arn matches the secret and its random suffix.
	arn *string
	// anyKeyArn matches the keys that can have encrypted it.
	anyKeyArn *string
}

// secret refuses the secret that RDS keeps for the master user: an export that can change everything is one mistake
// away from doing so.
func (d *SourceDatabase) secret(stack awscdk.Stack) secretReference {
	if strings.HasPrefix(d.SecretID, "rds!") || strings.Contains(d.SecretID, ":secret:rds!") {
		panic(fmt.Errorf("the secret %q is the one that RDS keeps for the master user: make a read-only login for exports (queries/grants/export-login.sql) and name its secret", d.SecretID))
	}
	arn := &awscdk.ArnComponents{
		Service: jsii.String("secretsmanager"), Resource: jsii.String("secret"), ResourceName: jsii.String(d.SecretID + "-??????"),
		ArnFormat: awscdk.ArnFormat_COLON_RESOURCE_NAME,
	}
	if parts := strings.Split(d.SecretID, ":"); len(parts) == 7 && parts[0] == "arn" {
		arn.Region, arn.Account, arn.ResourceName = jsii.String(parts[3]), jsii.String(parts[4]), jsii.String(parts[6])
	}
	return secretReference{
		arn: stack.FormatArn(arn),
		anyKeyArn: stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("kms"), Region: arn.Region, Account: arn.Account,
			Resource: jsii.String("key"), ResourceName: jsii.String("*"),
		}),
	}
}

// OpenDatabase lets clients into the security group of a SQL Server that is there already. Nothing else of it changes.
func OpenDatabase(scope constructs.Construct, id, securityGroupID string, port int, clients ...awsec2.ISecurityGroup) {
	if port == 0 {
		port = DefaultSQLServerPort
	}
	group := awsec2.SecurityGroup_FromSecurityGroupId(scope, &id, &securityGroupID, nil)
	for _, client := range clients {
		group.Connections().AllowFrom(client, awsec2.Port_Tcp(jsii.Number(port)), jsii.String("exports of training data"))
	}
}

// DatabaseProps says which SQL Server to make on Amazon RDS.
type DatabaseProps struct {
	// Vpc and Subnets of the instance: at least two zones.
	Vpc     awsec2.IVpc
	Subnets *awsec2.SubnetSelection
	// Engine is the edition: sqlserver-ex, sqlserver-web, sqlserver-se or sqlserver-ee. RDS can't encrypt Express at rest:
	// it is for data that anybody may see.
	Engine string
	// Version as RDS writes it: 16.00 is SQL Server 2022.
	Version string
	// InstanceType without RDS's prefix: m6i.large.
	InstanceType string
	// StorageGiB of gp3 storage.
	StorageGiB int
	// MultiAZ adds a standby in a second zone. It isn't readable.
	// Default: false.
	MultiAZ bool
	// Name of the database that exports read. A person makes it: RDS for SQL Server starts without databases.
	Name string
	// ExportSecretName is the name of the secret that is made for the login of exports, with a generated password.
	ExportSecretName string
	// RemoveData deletes instance, backups and secret when the stack is destroyed.
	// Default: they are protected, and the instance leaves a snapshot.
	RemoveData bool
}

// Database is a SQL Server on Amazon RDS: encrypted at rest (but Express), TLS only, private. RDS keeps and rotates the master user's
// secret; exports have a login of their own.
type Database struct {
	Construct    constructs.Construct
	Instance     awsrds.DatabaseInstance
	ExportSecret awssecretsmanager.Secret
	// Source is what an Export takes.
	Source *SourceDatabase
}

// backupDays is two weeks of point-in-time recovery.
const backupDays = 14

// NewDatabase makes the instance and the secret of the exports' login.
func NewDatabase(scope constructs.Construct, id string, props *DatabaseProps) *Database {
	this := constructs.NewConstruct(scope, &id)
	removal := awscdk.RemovalPolicy_SNAPSHOT
	secretRemoval := awscdk.RemovalPolicy_RETAIN
	if props.RemoveData {
		removal, secretRemoval = awscdk.RemovalPolicy_DESTROY, awscdk.RemovalPolicy_DESTROY
	}
	instance := awsrds.NewDatabaseInstance(this, jsii.String("Instance"), &awsrds.DatabaseInstanceProps{
		Engine:                   sqlServer(props.Engine, props.Version),
		LicenseModel:             awsrds.LicenseModel_LICENSE_INCLUDED,
		InstanceType:             awsec2.NewInstanceType(jsii.String(props.InstanceType)),
		Vpc:                      props.Vpc,
		VpcSubnets:               props.Subnets,
		MultiAz:                  jsii.Bool(props.MultiAZ),
		PubliclyAccessible:       jsii.Bool(false),
		StorageType:              awsrds.StorageType_GP3,
		AllocatedStorage:         jsii.Number(props.StorageGiB),
		StorageEncrypted:         jsii.Bool(props.Engine != express),
		Credentials:              awsrds.Credentials_FromUsername(jsii.String("admin"), nil),
		ManageMasterUserPassword: jsii.Bool(true),
		Parameters:               &map[string]*string{"rds.force_ssl": jsii.String("1")},
		BackupRetention:          awscdk.Duration_Days(jsii.Number(backupDays)),
		DeleteAutomatedBackups:   jsii.Bool(props.RemoveData),
		CopyTagsToSnapshot:       jsii.Bool(true),
		AutoMinorVersionUpgrade:  jsii.Bool(true),
		DeletionProtection:       jsii.Bool(!props.RemoveData),
		RemovalPolicy:            removal,
	})
	if props.Engine == express {
		awscdk.Annotations_Of(this).AddWarningV2(jsii.String("sagemaker-datapipeline:express-not-encrypted"),
			jsii.String("RDS can't encrypt SQL Server Express at rest: put made-up data into it, or take another edition"))
	}
	secret := awssecretsmanager.NewSecret(this, jsii.String("ExportSecret"), &awssecretsmanager.SecretProps{
		SecretName:    jsii.String(props.ExportSecretName),
		Description:   jsii.String("Read-only login of the exports; queries/grants/export-login.sql makes it"),
		RemovalPolicy: secretRemoval,
		GenerateSecretString: &awssecretsmanager.SecretStringGenerator{
			SecretStringTemplate: jsii.String(fmt.Sprintf(`{"engine":"sqlserver","username":%q}`, ExportUser)),
			GenerateStringKey:    jsii.String("password"),
			PasswordLength:       jsii.Number(32),
			ExcludeCharacters:    jsii.String(`'"\;{}[]$` + "`"), // what a script or a connection string would need to quote
		},
	})
	return &Database{
		Construct:    this,
		Instance:     instance,
		ExportSecret: secret,
		Source: &SourceDatabase{
			SecretID: props.ExportSecretName,
			Host:     *instance.DbInstanceEndpointAddress(),
			Port:     strconv.Itoa(DefaultSQLServerPort),
			Name:     props.Name,
		},
	}
}

// AllowFrom lets clients connect.
func (d *Database) AllowFrom(clients ...awsec2.ISecurityGroup) {
	for _, client := range clients {
		d.Instance.Connections().AllowFrom(client, awsec2.Port_Tcp(jsii.Number(DefaultSQLServerPort)), jsii.String("exports of training data"))
	}
}

// express is the edition without a licence fee, without encryption at rest and without a standby.
const express = "sqlserver-ex"

// newestMinors are what a version without its minor stands for. CloudFormation's validation wants all of it; RDS keeps the
// instance current by itself (AutoMinorVersionUpgrade). Source: the CDK 2.270's list of engine versions.
var newestMinors = map[string]string{
	"13.00": "13.00.6490.1.v1",
	"14.00": "14.00.3540.1.v1",
	"15.00": "15.00.4480.2.v1",
	"16.00": "16.00.4265.3.v1",
}

func sqlServer(engine, version string) awsrds.IInstanceEngine {
	major, _, _ := strings.Cut(version, ".")
	major += ".00"
	if minor, ok := newestMinors[version]; ok {
		version = minor
	}
	v := awsrds.SqlServerEngineVersion_Of(&version, &major)
	switch engine {
	case express:
		return awsrds.DatabaseInstanceEngine_SqlServerEx(&awsrds.SqlServerExInstanceEngineProps{Version: v})
	case "sqlserver-web":
		return awsrds.DatabaseInstanceEngine_SqlServerWeb(&awsrds.SqlServerWebInstanceEngineProps{Version: v})
	case "sqlserver-se":
		return awsrds.DatabaseInstanceEngine_SqlServerSe(&awsrds.SqlServerSeInstanceEngineProps{Version: v})
	case "sqlserver-ee":
		return awsrds.DatabaseInstanceEngine_SqlServerEe(&awsrds.SqlServerEeInstanceEngineProps{Version: v})
	default:
		panic(fmt.Errorf("a database can't be provisioned with the engine %q: take sqlserver-ex, sqlserver-web, sqlserver-se or sqlserver-ee", engine))
	}
}
