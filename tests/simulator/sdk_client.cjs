// Calls what LM Studio's JavaScript SDK offers, and prints the results as one JSON object.
// Usage: NODE_PATH=… node sdk_client.cjs PACKAGE WS_URL [API_TOKEN]
const [, , packageName, baseUrl, apiToken] = process.argv;
const { LMStudioClient } = require(packageName);

const LLM = "qwen2.5-7b-instruct";
const EMBEDDING = "text-embedding-nomic-embed-text-v1.5";

/** The result of a call that has to fail. */
async function errorOf(promise) {
    try {
        await promise;
    } catch (error) {
        return error.message;
    }
    throw new Error("the call didn't fail");
}

async function predict(model) {
    const prediction = model.respond("Hello", { maxTokens: 4 });
    const pieces = [];
    for await (const fragment of prediction) pieces.push(fragment.content);
    const result = await prediction;

    const cancelled = model.respond("Tell me of it in 5000 words");
    for await (const _ of cancelled) {
        await cancelled.cancel();
        break;
    }
    const completion = await model.complete("Once upon a time", { maxTokens: 3 });
    return {
        pieces,
        stats: result.stats,
        identifier: result.modelInfo.identifier,
        cancelled: (await cancelled).stats.stopReason,
        completed: completion.stats,
        template: await model.applyPromptTemplate([{ role: "user", content: "Hello" }]),
        tokens: (await model.tokenize("one two")).length,
        count: await model.countTokens("one two"),
    };
}

async function main() {
    const client = new LMStudioClient({ baseUrl, ...(apiToken ? { apiToken } : {}) });
    const downloaded = await client.system.listDownloadedModels();
    const progress = [];
    const model = await client.llm.load(LLM, {
        identifier: "mine",
        config: { contextLength: 8192 },
        onProgress: fraction => progress.push(fraction),
        verbose: false,
    });
    const loaded = await Promise.all((await client.llm.listLoaded()).map(one => one.getModelInfo()));
    const predicted = await predict(await client.llm.model("mine"));
    const context = { length: await model.getContextLength(), config: await model.getLoadConfig() };
    const embedder = await client.embedding.model(EMBEDDING, { verbose: false });
    const embedded = await embedder.embed("one two");
    await model.unload();
    return {
        version: await client.system.getLMStudioVersion(),
        downloaded,
        progress,
        loaded,
        ...predicted,
        contextLength: context.length,
        loadConfig: context.config,
        dimensions: embedded.embedding.length,
        left: (await client.llm.listLoaded()).length,
        unknownModel: await errorOf(client.llm.load("no/such-model", { verbose: false })),
        unknownInstance: await errorOf(client.llm.createDynamicHandle("nobody").countTokens("x")),
        unloaded: await errorOf(client.llm.unload("mine")),
    };
}

main().then(
    result => {
        console.log(JSON.stringify(result));
        process.exit(0);
    },
    error => {
        console.error(error);
        process.exit(1);
    },
);
