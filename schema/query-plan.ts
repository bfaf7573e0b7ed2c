/** The vocabulary of query plans, as the planner writes them; see also notes on each node in `plan-steps.ts`. */
export type {
  BatchFetchNode,
  ConditionNode,
  EntityBatchAlias,
  FetchNode,
  FetchRewrite,
  FlattenNode,
  FlattenNodePathSegment,
  InputRewrite,
  OutputRewrite,
  ParallelNode,
  PlanNode,
  QueryPlan,
  RequiresSelection,
  SequenceNode,
} from '@graphql-hive/router-query-planner';
