import type { JsonObject } from './bdev.js';
/** One JSON-RPC call, as configurations hold them. */
export interface RpcCall {
    /** Name of the method. */
    readonly method: string;
    /** Its parameters; none where left out. */
    readonly params?: JsonObject;
}
/** A JSON Schema, draft-07. Write `additionalProperties: false`: SPDK refuses unknown parameters. */
export type JsonSchema = {
    readonly [keyword: string]: unknown;
};
/** Static data of one RPC method; made by {@link method}. */
export interface RpcMethodSpec {
    /** One line for help and documentation. */
    readonly description?: string;
    /** Schema of the parameters, an object. Without it the method takes none. */
    readonly params?: JsonSchema;
    /** When it may be called; default only `runtime`. */
    readonly states?: 'startup' | 'runtime' | 'any';
    /** What SPDK answers where parameters do not decode; default -32603 "spdk_json_decode_object failed". */
    readonly decodeError?: {
        readonly code: number;
        readonly message?: string;
    };
}
/** An RPC method with the static types of its parameters and result. */
export interface RpcMethod<Params = any, Result = any> extends RpcMethodSpec {
    /** Type carrier; never present at run time. */
    readonly '@bdevkit/types'?: {
        params: Params;
        result: Result;
    };
}
/** The handlers that `setup` returns, typed from the module's `rpc`. Each runs on the app thread and may be async. */
export type RpcHandlers<Methods extends Record<string, RpcMethod>> = {
    [Name in keyof Methods]: Methods[Name] extends RpcMethod<infer Params, infer Result> ? (params: Params) => Result | Promise<Result> : never;
};
/**
 * States an RPC method: `method<Params, Result>({ params: schema })`. The schema is the author's word at run time, the
 * type parameters at compile time.
 */
export declare function method<Params = void, Result = unknown>(spec?: RpcMethodSpec): RpcMethod<Params, Result>;
