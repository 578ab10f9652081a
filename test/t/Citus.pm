# Servers for the tests on Citus: a coordinator and two workers, and a plain server.
# Citus has to be in the installation CITUS_SERVER.

package Citus;

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

# A plain server, of the same installation.
sub plain
{
	my ($class) = @_;
	my $node = PostgreSQL::Test::Cluster->new('plain', install_path => $ENV{CITUS_SERVER});
	$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
	$node->start;
	return bless { coordinator => $node, workers => [] }, $class;
}

# The coordinator and two workers; database() makes the databases.
sub distributed
{
	my ($class) = @_;
	my $self = bless { workers => [] }, $class;

	for my $name ('coordinator', 'worker_1', 'worker_2')
	{
		my $node = PostgreSQL::Test::Cluster->new($name, install_path => $ENV{CITUS_SERVER});
		$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
		$node->append_conf('postgresql.conf', q{
			shared_preload_libraries = 'citus'
			max_worker_processes = 40
			citus.node_conninfo = 'sslmode=disable'
			citus.recover_2pc_interval = '1s'
			# The statements for the workers are in the coordinator's log.
			log_statement = none
			deadlock_timeout = '1s'
		});
		$node->start;
		if ($name eq 'coordinator') { $self->{coordinator} = $node; }
		else { push @{ $self->{workers} }, $node; }
	}
	return $self;
}

# Make a database of Citus with all the nodes; on a plain server, a database.
sub database
{
	my ($self, $name) = @_;
	my $coordinator = $self->{coordinator};
	my @nodes = ($coordinator, @{ $self->{workers} });

	for my $node (@nodes)
	{
		$node->safe_psql('postgres', "CREATE DATABASE $name");
		$node->safe_psql($name, 'CREATE EXTENSION citus') if @nodes > 1;
	}
	return if @nodes == 1;
	$coordinator->safe_psql($name, sprintf("SELECT citus_set_coordinator_host('%s', %d)", $coordinator->host, $coordinator->port));
	$coordinator->safe_psql($name, sprintf("SELECT citus_add_node('%s', %d)", $_->host, $_->port)) for @{ $self->{workers} };
	return;
}

sub coordinator { return $_[0]->{coordinator}; }
sub worker { return $_[0]->{workers}[ $_[1] ]; }

# Send a signal to all processes of a worker.  After STOP the worker does not answer.
my %stopped;
sub signal_worker
{
	my ($self, $n, $signal) = @_;
	my $data = $self->{workers}[$n]->data_dir;
	my ($postmaster) = slurp_file("$data/postmaster.pid") =~ /\A(\d+)/;
	# First the postmaster, which starts the others.
	kill $signal, $postmaster;
	my @children;
	for my $stat (glob '/proc/[0-9]*/stat')
	{
		open(my $file, '<', $stat) or next;
		my $line = <$file> // '';
		push @children, $1 if $line =~ /^(\d+) \(.*\) \S \Q$postmaster\E /;
	}
	kill $signal, @children;
	$stopped{"$self $n"} = $signal eq 'STOP' ? [ $postmaster, @children ] : [];
	return;
}
END { kill 'CONT', map { @$_ } values %stopped; }

# Run a script on the coordinator, and return all that psql prints, errors included.
sub prints
{
	my ($self, $database, $sql, %variables) = @_;
	my $out;
	my $psql = [ $self->{coordinator}->installed_command('psql'), '-X', '-q', '-At', '-v', 'VERBOSITY=verbose', '-v', 'SHOW_CONTEXT=never',
		map({ ('-v', "$_=$variables{$_}") } keys %variables),
		'-d', $self->{coordinator}->connstr($database), '-f', '-' ];
	IPC::Run::run($psql, '<', \$sql, '>&', \$out);
	$out =~ s/^psql:<stdin>:\d+: //mg;
	# A worker's error comes without these.
	$out =~ s/^(LOCATION|SCHEMA NAME|TABLE NAME|COLUMN NAME|DATATYPE NAME|CONSTRAINT NAME): .*\n//mg;
	$out =~ s/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S*/(moment)/g;
	return $out;
}

1;
