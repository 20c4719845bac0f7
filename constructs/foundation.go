package constructs

import (
	"fmt"
	"strconv"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsscheduler"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs/config"
	"sagemaker-datapipeline/lambda/outcome"
)

// Foundation is the stateful stack of an environment: what pipelines share and what must never be replaced. Pipelines
// come and go beside it.
type Foundation struct {
	Stack    awscdk.Stack
	DataLake *DataLake
	// Notices are its topics: of notices, and of alarms.
	Notices       *Notices
	ScheduleGroup awsscheduler.ScheduleGroup
	// Network is nil where the environment has none.
	Network *Network
	// Database is what exports read.
	Database *SourceDatabase
}

// newFoundation makes the stack of an environment.
func newFoundation(scope constructs.Construct, project, name string, e config.Environment) *Foundation {
	prefix := project + "-" + name
	stack := awscdk.NewStack(scope, jsii.String("Foundation"), &awscdk.StackProps{
		StackName:             jsii.String(prefix + "-foundation"),
		Description:           jsii.String("Bucket, key, network and topic of the retraining pipelines in " + name),
		TerminationProtection: jsii.Bool(e.TerminationProtection),
	})
	f := &Foundation{Stack: stack}
	f.DataLake = NewDataLake(stack, "DataLake", &DataLakeProps{
		WriterRoles: []string{rolesOf(prefix)},
		RemoveData:  e.RemoveData,
		// An emulator is thrown away as a whole, and has no Node.js for the function that empties buckets.
		EmptyBucket: e.RemoveData && Architecture(e.Architecture) != HostArchitecture,
	})
	f.Notices = NewNotices(stack, "Notices", &NoticesProps{
		Emails:        e.Notify.Emails,
		Outcomes:      outcomes(e.Notify.Outcomes),
		EncryptionKey: f.DataLake.Key,
	})
	f.ScheduleGroup = awsscheduler.NewScheduleGroup(stack, jsii.String("ScheduleGroup"), &awsscheduler.ScheduleGroupProps{
		ScheduleGroupName: jsii.String(prefix),
		RemovalPolicy:     awscdk.RemovalPolicy_DESTROY,
	})
	f.Network = foundationNetwork(stack, e)
	f.Database = f.database(name, e)

	output(stack, "DataBucketName", "Where data and models are", f.DataLake.Bucket.BucketName())
	output(stack, "TopicArn", "Subscribe here to hear how runs ended", f.Notices.Topic.TopicArn())
	output(stack, "AlarmTopicArn", "Subscribe here to hear of alarms", f.Notices.Alarms.TopicArn())
	return f
}

// outcomes are the words of a configuration as a construct takes them; nil stays nil, which is the default.
func outcomes(words []string) []outcome.Outcome {
	var named []outcome.Outcome
	if words != nil {
		named = []outcome.Outcome{}
	}
	for _, word := range words {
		named = append(named, outcome.Outcome(word))
	}
	return named
}

// rolesOf is a pattern of the names that CloudFormation gives to roles of stacks whose name begins with prefix: it cuts
// the stack's name at 24 characters where the role's name would get longer than 64.
func rolesOf(prefix string) string {
	const kept = 24
	return (prefix + "-")[:min(len(prefix)+1, kept)] + "*"
}

func foundationNetwork(scope constructs.Construct, e config.Environment) *Network {
	switch n := e.Network; {
	case n.Create != nil:
		return NewNetwork(scope, "Network", &NetworkProps{
			CIDR:              n.Create.CIDR,
			AvailabilityZones: e.AvailabilityZones,
			NATGateways:       n.Create.NATGateways,
		})
	case n.Import != nil:
		return ImportNetwork(scope, "Network", &ImportedNetworkProps{
			VpcID:                      n.Import.VPCID,
			AvailabilityZones:          n.Import.AvailabilityZones,
			PrivateSubnetIDs:           n.Import.PrivateSubnetIDs,
			PrivateSubnetRouteTableIDs: n.Import.PrivateSubnetRouteTableIDs,
			EndpointsExist:             n.Import.EndpointsExist,
		})
	default:
		return nil
	}
}

// database is the one that exports read, with its replica.
func (f *Foundation) database(environment string, e config.Environment) *SourceDatabase {
	source := f.primary(environment, e)
	if r := e.Database.Replica; r != nil {
		source.ReplicaHost, source.ReplicaPort = r.Host, strconv.Itoa(r.Port)
		f.openReplica(e.Database, r.Port)
	}
	return source
}

// openReplica opens the way to the replica, where its port isn't the primary's: it has the same security group.
func (f *Foundation) openReplica(d config.Database, port int) {
	primary := DefaultSQLServerPort
	if d.Import != nil && d.Import.Port != 0 {
		primary = d.Import.Port
	}
	switch {
	case f.Network == nil || port == primary:
	case d.Import != nil && d.Import.SecurityGroupID != "":
		OpenDatabase(f.Stack, "Replica", d.Import.SecurityGroupID, port, f.Network.ExportSecurityGroup)
	default:
		f.Network.ExportSecurityGroup.AddEgressRule(awsec2.Peer_AnyIpv4(), awsec2.Port_Tcp(jsii.Number(port)), jsii.String("the database's read replica"), nil)
	}
}

func (f *Foundation) primary(environment string, e config.Environment) *SourceDatabase {
	if d := e.Database.Import; d != nil {
		return f.importDatabase(d)
	}
	if f.Network == nil {
		panic(fmt.Errorf("environment %s provisions a database without a network to put it in: give it network.create or network.import", environment))
	}
	p := e.Database.Provision
	database := NewDatabase(f.Stack, "Database", &DatabaseProps{
		Vpc:              f.Network.Vpc,
		Subnets:          f.Network.Subnets,
		Engine:           p.Engine,
		Version:          p.Version,
		InstanceType:     p.InstanceType,
		StorageGiB:       p.StorageGiB,
		MultiAZ:          p.MultiAZ,
		Name:             p.Name,
		ExportSecretName: p.ExportSecretName,
		RemoveData:       e.RemoveData,
	})
	database.AllowFrom(f.Network.ExportSecurityGroup)
	return database.Source
}

// importDatabase opens the way from the export functions to the database, where this stack has a say in it.
func (f *Foundation) importDatabase(d *config.ImportDatabase) *SourceDatabase {
	source := &SourceDatabase{SecretID: d.SecretName, Host: d.Host, Name: d.Name}
	if d.SecretARN != "" {
		source.SecretID = d.SecretARN
	}
	port := DefaultSQLServerPort
	if d.Port != 0 {
		port = d.Port
		source.Port = strconv.Itoa(d.Port)
	}
	switch {
	case f.Network == nil:
	case d.SecurityGroupID != "":
		OpenDatabase(f.Stack, "Database", d.SecurityGroupID, port, f.Network.ExportSecurityGroup)
	default:
		f.Network.ExportSecurityGroup.AddEgressRule(awsec2.Peer_AnyIpv4(), awsec2.Port_Tcp(jsii.Number(port)), jsii.String("the database"), nil)
	}
	return source
}
