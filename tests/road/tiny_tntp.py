"""A network of three zones in TNTP files, written for the tests.

Zones 1, 2, 3; node 4 between them. 1 and 2 hang on connectors without length, 3 on a road.
"""

NET = """<NUMBER OF ZONES> 3
<NUMBER OF NODES> 4
<FIRST THRU NODE> 4
<NUMBER OF LINKS> 6
<ORIGINAL HEADER>~ \tInit node \tTerm node \tCapacity ;
<END OF METADATA>


~ \tinit_node\tterm_node\tcapacity\tlength\tfree_flow_time\tb\tpower\tspeed\ttoll\tlink_type\t;
\t1\t4\t99999\t0\t0\t0.15\t4\t0\t0\t3\t;
\t4\t1\t99999\t0\t0\t0.15\t4\t0\t0\t3\t;
\t2\t4\t99999\t0\t0\t0\t0\t0\t0\t3\t;
\t4\t2\t99999\t0\t0\t0\t0\t0\t0\t3\t;
\t3\t4\t1200.5\t2\t1.5\t0.15\t4\t0\t0\t1\t;
\t4\t3\t1200.5\t2\t2\t0.15\t4\t0\t0\t1\t;
"""

TRIPS = """<NUMBER OF ZONES> 3
<TOTAL OD FLOW> 165.5
<END OF METADATA>

~ made up
Origin 1
    1 :      5.0;     2 :    100.0;
    3 :     10.5;
Origin  \t2
1 : 50.0; 3 : 0.0;
"""

NODES = """Node\tX\tY\t;
1\t-1.5\t0\t;
2\t1\t0\t;
3\t0\t2\t;
4\t0\t0\t;
"""
